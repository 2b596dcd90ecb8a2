/**
 * The last good version of each object, as it is kept on the log (topic `objects`). From it a
 * process that starts knows what the one before it knew: also of objects that are bad by now, that
 * are in a file that cannot be read, or whose deletion is held, and whether or not they give events
 * of their own.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { LastGood } from '@watershed/model/gen/model.ts';
import type { topics } from '@watershed/model/keys.ts';
import type { Sealing } from '@watershed/runtime/sealing.ts';
import { isObject } from '../decode.ts';
import type { RawObject } from '../kind.ts';
import type { HeldObject } from './holds.ts';
import type { Installed } from './registry.ts';

/** A record of the topic, as the log holds it for this source. */
export interface ObjectRecord {
  readonly topic: typeof topics.objects;
  readonly key: string;
  readonly value: Uint8Array;
}

export interface StoredObject {
  readonly raw: RawObject;
  /** Where it is, or was, written. */
  readonly source: string;
  /** Absent: its deletion is not held. */
  readonly held: Pick<HeldObject, 'reason' | 'sinceMs'> | undefined;
}

/** What is larger is compressed: a log takes records of 1 MiB, a file may hold objects of 10. */
const plainBytes = 64 * 1024;
/** More than any source gives. */
const maxTextBytes = 64 * 1024 * 1024;

/** Metadata that API servers change by themselves, and that no decoder looks at. */
const volatile = new Set(['managedFields', 'resourceVersion', 'generation', 'selfLink']);
/** `kubectl apply` keeps the whole object once more there. */
const copy = 'kubectl.kubernetes.io/last-applied-configuration';

/** The parts of an object that a decoder may look at, as JSON. */
export function textOf(raw: RawObject, { readsStatus }: Pick<Installed, 'readsStatus'>): string {
  return JSON.stringify(raw, function replace(this: unknown, key: string, value: unknown) {
    if (this === raw.metadata && volatile.has(key)) return undefined;
    if (key === copy && this === raw.metadata['annotations']) return undefined;
    if (this === raw && key === 'status' && !readsStatus) return undefined;
    return value;
  });
}

/** Equal objects give equal bytes. */
export function encodeLastGood(
  { raw, source, held }: StoredObject,
  installed: Pick<Installed, 'readsStatus' | 'partRead' | 'isSecret'>,
  sealing: Pick<Sealing, 'seal'>,
): Uint8Array {
  const { partRead, isSecret } = installed;
  const text = Buffer.from(textOf(partRead?.(raw) ?? raw, installed));
  const deflated = text.length > plainBytes;
  const json = deflated ? deflateRawSync(text) : text;
  const content = isSecret
    ? { json: new Uint8Array(0), ...sealing.seal(json) }
    : { json, sealed: new Uint8Array(0), keyId: '' };
  return LastGood.encode({ ...content, deflated, source, held }).finish();
}

/**
 * `undefined`: it was sealed with a key that is no more, or nobody of today wrote it, or it is of
 * another source than the one that is asked for.
 */
export function decodeLastGood(
  value: Uint8Array,
  sealing: Pick<Sealing, 'unseal'>,
  ofSource?: string,
): StoredObject | undefined {
  try {
    const { json, sealed, keyId, deflated, source, held } = LastGood.decode(value);
    if (ofSource !== undefined && ofSource !== source) return undefined;
    const opened = sealed.length === 0 ? json : sealing.unseal(sealed, keyId);
    const text = deflated ? inflateRawSync(opened, { maxOutputLength: maxTextBytes }) : opened;
    const raw: unknown = JSON.parse(Buffer.from(text).toString());
    return isRaw(raw) ? { raw, source, held } : undefined;
  } catch {
    return undefined;
  }
}

function isRaw(value: unknown): value is RawObject {
  if (!isObject(value)) return false;
  const { apiVersion, kind, metadata } = value;
  return typeof apiVersion === 'string' && typeof kind === 'string' && isObject(metadata);
}
