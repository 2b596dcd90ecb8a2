/**
 * Decoding of Istio's objects: the types of its API read strictly (every unknown field, wrong type
 * and doubly set oneof with its path), then the kind's own checks.
 */
import { decodeStrict } from '@watershed/proto/strict-json.ts';
import { identityOf } from '../../core/metadata.ts';
import type { At } from '../../decode.ts';
import { decode, isServed } from '../../decode.ts';
import type { Decoded, Problem, RawObject, SourceSettings } from '../../kind.ts';

/** Istio's group, newest version first; all mean the same. */
export const apiVersions = [
  'networking.istio.io/v1',
  'networking.istio.io/v1beta1',
  'networking.istio.io/v1alpha3',
] as const;

/** The group of who may call whom. */
export const securityVersions = ['security.istio.io/v1', 'security.istio.io/v1beta1'] as const;

/** What a check may know beside the spec. */
export interface CheckContext {
  readonly name: string;
  readonly namespace: string;
  readonly domain: string;
  /** The object itself: what is wrong outside of its spec. */
  readonly object: At;
}

export interface IstioType<T> {
  /** `istio.networking.v1alpha3.VirtualService` */
  readonly typeName: string;
  readonly codec: { readonly fromJSON: (json: unknown) => T };
  readonly check: (spec: T, at: At, context: CheckContext) => void;
}

/** A decoder of a kind whose spec is a message of Istio's API. */
export function istioDecoder<T>(
  type: IstioType<T>,
): (raw: RawObject, settings: SourceSettings) => Decoded<T> {
  return (raw, settings) => {
    const unknownFields = isServed(raw) ? 'warning' : 'error';
    const context = { ...identityOf(raw, true), domain: settings.domain };
    return decodeChecked(
      type,
      raw['spec'],
      { path: 'spec', checkedFrom: '', unknownFields },
      (spec, at) => type.check(spec, at.field('spec'), { ...context, object: at }),
    );
  };
}

export interface CheckedOptions {
  /** Where the message is in its object. */
  readonly path: string;
  /** The path of what the check is given; default: that of the message. */
  readonly checkedFrom?: string;
  readonly unknownFields: Problem['severity'];
}

/**
 * Read strictly, then checked. What is wrong by its form does not hide what else is wrong: the rest
 * is checked too. Of what that finds, no warnings are told, and nothing above, below or beside of
 * what was left out, because it may only follow from that.
 */
export function decodeChecked<T>(
  { typeName, codec }: Pick<IstioType<T>, 'typeName' | 'codec'>,
  value: unknown,
  { path, checkedFrom = path, unknownFields }: CheckedOptions,
  check: (message: T, at: At) => void,
): Decoded<T> {
  const strict = decodeStrict(typeName, value ?? {}, { path });
  const problems = strict.problems.map(({ kind, ...found }): Problem => {
    const severity = kind === 'unknown' ? unknownFields : 'error';
    return { severity, field: found.path, value: found.value, reason: found.reason };
  });
  const readable = strict.message ?? strict.rest;
  if (readable === undefined) return { problems };
  const spec = codec.fromJSON(readable);
  const checked = decode((_, at) => check(spec, at), spec, { path: checkedFrom });
  const leftOut = strict.problems.flatMap(({ kind, path: at }) => (kind === 'invalid' ? at : []));
  const found = checked.problems.filter(
    ({ severity, field }) =>
      leftOut.length === 0 ||
      (severity === 'error' && !leftOut.some((wrong) => mayFollow(field, wrong))),
  );
  const all = [...problems, ...found];
  const isRefused = all.some(({ severity }) => severity === 'error');
  return isRefused ? { problems: all } : { spec, problems: all };
}

function mayFollow(field: string, leftOut: string): boolean {
  const [told, wrong] = [plain(field), plain(leftOut)];
  return isWithin(told, wrong) || isWithin(wrong, told) || messageOf(told) === messageOf(wrong);
}

/** The two readers do not quote the same names. */
function plain(path: string): string {
  return path.replaceAll(/\["([^"\]]*)"\]/gu, '.$1');
}

function isWithin(path: string, outer: string): boolean {
  return path.startsWith(outer) && /^(?:[.[]|$)/u.test(path.slice(outer.length));
}

/**
 * `spec.http[0]` of `spec.http[0].timeout` and of `spec.http[0].headers[1]`. Settings of the mesh,
 * which are in no message, have nothing beside them: each stands for itself.
 */
function messageOf(path: string): string {
  return path.replace(/\.[^.[]*(?:\[\d+\])*$/u, '');
}
