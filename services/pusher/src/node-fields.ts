/**
 * What is read of a node, and no more. An Envoy's is of 60 KB, nearly all of it the extensions that
 * it is built with, and istio's agents add the annotations of their pods: to decode all that took
 * longer than all else of a stream that comes back.
 *
 * Field numbers. Node (`envoy/config/core/v3/base.proto`): id 1, metadata 3, locality 4,
 * user_agent_name 6, user_agent_version 7, user_agent_build_version 8, client_features 10.
 * BuildVersion: version 1, of which major_number 1, minor_number 2, patch 3. A Struct has entries
 * 1: key 1, value 2.
 */
import { Locality } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { Value } from '@watershed/proto/google/protobuf/struct.ts';
import { FieldReader } from './wire.ts';

export interface NodeFields {
  readonly id: string;
  /** Of the keys that were asked for, those that are there. */
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly locality: Locality | undefined;
  /** `envoy`, or what else the client is. */
  readonly agent: string;
  /** `1.40.0` */
  readonly version: string;
  readonly clientFeatures: readonly string[];
}

/** `keys`: of metadata. Throws for bytes that are no node, as far as they are looked at. */
export function nodeFields(bytes: Uint8Array, keys: ReadonlySet<string>): NodeFields {
  const metadata = new Map<string, unknown>();
  const clientFeatures: string[] = [];
  let id = '';
  let locality: Locality | undefined;
  let agent = '';
  let version = '';
  const fields = new FieldReader(bytes);
  while (fields.next()) {
    if (fields.wireType !== 2) continue;
    switch (fields.field) {
      case 1:
        id = fields.text();
        break;
      case 3:
        readStruct(fields.within(), keys, metadata);
        break;
      case 4:
        locality = Locality.decode(fields.content());
        break;
      case 6:
        agent = fields.text();
        break;
      case 7:
        version = fields.text();
        break;
      case 8:
        version = versionIn(fields.within());
        break;
      case 10:
        clientFeatures.push(fields.text());
        break;
      default:
    }
  }
  return { id, metadata, locality, agent, version, clientFeatures };
}

function readStruct(
  entries: FieldReader,
  keys: ReadonlySet<string>,
  into: Map<string, unknown>,
): void {
  while (entries.next()) {
    if (entries.field !== 1 || entries.wireType !== 2) continue;
    const entry = entries.within();
    let key = '';
    let value: Uint8Array | undefined;
    while (entry.next()) {
      if (entry.wireType !== 2) continue;
      if (entry.field === 1) key = entry.text();
      else if (entry.field === 2) value = entry.content();
    }
    if (!keys.has(key)) continue;
    into.set(key, value === undefined ? undefined : Value.unwrap(Value.decode(value)));
  }
}

function versionIn(build: FieldReader): string {
  let version = '';
  while (build.next()) {
    if (build.field !== 1 || build.wireType !== 2) continue;
    const numbers = [0, 0, 0];
    const parts = build.within();
    while (parts.next()) {
      if (parts.field <= 3 && parts.wireType === 0) numbers[parts.field - 1] = parts.value;
    }
    version = numbers.join('.');
  }
  return version;
}
