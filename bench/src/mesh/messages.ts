/**
 * Responses as a simulated sidecar needs them. A thousand clients get the same bytes, so each
 * response is read once and compared from then on: what the clients cost is taken from the machine
 * that the server runs on.
 */
import { Listener } from '@watershed/proto/envoy/config/listener/v3/listener.ts';
import { HttpConnectionManager } from '@watershed/proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { fieldsOf, textOf } from './protobuf.ts';

export interface Message {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly bytes: number;
  /** Versions by name. */
  readonly resources: readonly (readonly [name: string, version: string])[];
  readonly removed: readonly string[];
  /** Of listeners: the route tables that they name. */
  readonly tables: readonly string[];
}

/** Of bytes that are kept for comparing. */
const maxKept = 64;

export class MessageReader {
  /** In order of use. */
  readonly #known = new Map<Buffer, Message>();

  read(bytes: Buffer): Message {
    for (const [known, message] of this.#known) {
      if (known.length === bytes.length && known.equals(bytes)) return message;
    }
    const message = parse(bytes);
    this.#known.set(Buffer.from(bytes), message);
    if (this.#known.size > maxKept) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return message;
  }
}

function parse(bytes: Buffer): Message {
  let typeUrl = '';
  let nonce = '';
  const encoded: Uint8Array[] = [];
  const removed: string[] = [];
  for (const { number, bytes: content } of fieldsOf(bytes)) {
    if (number === 2) encoded.push(content);
    else if (number === 4) typeUrl = textOf(content);
    else if (number === 5) nonce = textOf(content);
    else if (number === 6) removed.push(textOf(content));
  }
  const resources: (readonly [string, string])[] = [];
  const tables: string[] = [];
  for (const resource of encoded) {
    const { name, version, body } = resourceOf(resource);
    resources.push([name, version]);
    if (typeUrl === resourceTypes.listener && body !== undefined) tables.push(...tablesOf(body));
  }
  return { typeUrl, nonce, bytes: bytes.length, resources, removed, tables: [...new Set(tables)] };
}

interface ResourceView {
  readonly name: string;
  readonly version: string;
  readonly body: Uint8Array | undefined;
}

function resourceOf(resource: Uint8Array): ResourceView {
  let name = '';
  let version = '';
  let body: Uint8Array | undefined;
  for (const { number, bytes } of fieldsOf(resource)) {
    if (number === 3) name = textOf(bytes);
    else if (number === 1) version = textOf(bytes);
    else if (number === 2) {
      for (const any of fieldsOf(bytes)) if (any.number === 2) body = any.bytes;
    }
  }
  return { name, version, body };
}

function tablesOf(body: Uint8Array): readonly string[] {
  const tables: string[] = [];
  const decoded = Listener.decode(body);
  const chains = [...decoded.filterChains, decoded.defaultFilterChain];
  for (const filter of chains.flatMap((chain) => chain?.filters ?? [])) {
    if (filter.configType?.$case !== 'typedConfig') continue;
    if (!filter.configType.value.typeUrl.endsWith('HttpConnectionManager')) continue;
    const manager = HttpConnectionManager.decode(filter.configType.value.value);
    if (manager.routeSpecifier?.$case === 'rds') {
      tables.push(manager.routeSpecifier.value.routeConfigName);
    }
  }
  return tables;
}
