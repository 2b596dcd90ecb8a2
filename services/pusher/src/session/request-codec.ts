/**
 * Decoding of DiscoveryRequest and DeltaDiscoveryRequest, by hand, because almost all requests are
 * ACKs that repeat what is known: an ACK whose names are the last one's costs one comparison of
 * bytes, and equal lists of any client become one object, so that what is computed from a list is
 * computed once.
 *
 * Field numbers (`envoy/service/discovery/v3/discovery.proto`). DiscoveryRequest: version_info 1,
 * node 2, resource_names 3, type_url 4, response_nonce 5, error_detail 6, resource_locators 7.
 * DeltaDiscoveryRequest: node 1, type_url 2, subscribe 3, unsubscribe 4, initial_resource_versions
 * 5, response_nonce 6, error_detail 7, locators to subscribe 8 and unsubscribe 9. A
 * ResourceLocator's name is its field 1.
 */
import { hash } from 'node:crypto';
import { hashName } from '../view/trie.ts';
import type { Entry } from '../view/type-view.ts';
import { FieldReader, textOf } from '../wire.ts';
import {
  InitialVersions,
  type DeltaRequest,
  type ErrorDetail,
  type SotwRequest,
} from './request.ts';
import { NameList, noNames } from './subscription.ts';

interface DeltaBody {
  /**
   * The request's bytes that it was decoded from, if they are worth comparing with the next
   * request's.
   */
  readonly encoded?: Uint8Array;
  readonly subscribe: NameList;
  readonly unsubscribe: NameList;
  readonly initial: InitialVersions | undefined;
}

const noBody: DeltaBody = { subscribe: noNames, unsubscribe: noNames, initial: undefined };

/** Lists in fewer bytes are their own key. */
const maxKeyBytes = 128;
/** Bodies of that size are kept to compare with, so many of them. */
const minEncoded = 1_024;
const maxRecent = 8;
const maxErrorBytes = 8 * 1024;

/** Fields that are the same from request to request, and where they stand. */
interface Region {
  readonly start: number;
  readonly end: number;
}

export class RequestDecoder {
  readonly #lists = new InternTable<NameList>();
  readonly #bodies = new InternTable<DeltaBody>();
  readonly #recent: { readonly typeUrl: string; readonly body: DeltaBody }[] = [];
  #recentAt = 0;

  /**
   * `recent`: the stream's last lists, one per type. Throws a WireError for bytes that are no
   * request.
   */
  sotw(bytes: Uint8Array, recent: Iterable<NameList> = []): SotwRequest {
    const fields = new FieldReader(bytes);
    let versionInfo = '';
    let typeUrl = '';
    let nonce = '';
    let node: Uint8Array | undefined;
    let error: ErrorDetail | undefined;
    let known: NameList | undefined;
    let region: Region | undefined;
    let contiguous = true;
    for (let from = 0; fields.next(); from = fields.at) {
      if (fields.wireType !== 2) continue;
      switch (fields.field) {
        case 1:
          versionInfo = fields.text();
          break;
        case 2:
          node = fields.content();
          break;
        case 3:
        case 7:
          if (region === undefined) {
            known = knownAt(bytes, from, recent);
            if (known?.encoded !== undefined) fields.at = from + known.encoded.length;
            region = { start: from, end: fields.at };
          } else {
            contiguous &&= region.end === from && known === undefined;
            region = { start: region.start, end: fields.at };
          }
          break;
        case 4:
          typeUrl = fields.text();
          break;
        case 5:
          nonce = fields.text();
          break;
        case 6:
          error = errorOf(fields.content());
          break;
        default:
      }
    }
    const names =
      region === undefined
        ? noNames
        : contiguous
          ? (known ?? this.#namesIn(bytes, region))
          : new NameList(namesOf(bytes, 3, 7));
    return { mode: 'sotw', versionInfo, typeUrl, nonce, node, error, names };
  }

  /** Throws a WireError for bytes that are no request. */
  delta(bytes: Uint8Array): DeltaRequest {
    const fields = new FieldReader(bytes);
    let typeUrl = '';
    let nonce = '';
    let node: Uint8Array | undefined;
    let error: ErrorDetail | undefined;
    let region: Region | undefined;
    let contiguous = true;
    let known: DeltaBody | undefined;
    for (let from = 0; fields.next(); from = fields.at) {
      if (fields.wireType !== 2) continue;
      switch (fields.field) {
        case 1:
          node = fields.content();
          break;
        case 2:
          typeUrl = fields.text();
          break;
        case 3:
        case 4:
        case 5:
        case 8:
        case 9:
          if (region === undefined) {
            known = this.#knownBody(bytes, from, typeUrl);
            if (known?.encoded !== undefined) fields.at = from + known.encoded.length;
          }
          contiguous &&= region === undefined || region.end === from;
          region = { start: region?.start ?? from, end: fields.at };
          break;
        case 6:
          nonce = fields.text();
          break;
        case 7:
          error = errorOf(fields.content());
          break;
        default:
      }
    }
    const body =
      region === undefined
        ? noBody
        : contiguous
          ? (known ?? this.#bodyIn(bytes, region, typeUrl))
          : bodyOf(bytes, typeUrl);
    return { mode: 'delta', typeUrl, nonce, node, error, ...body };
  }

  #namesIn(bytes: Uint8Array, { start, end }: Region): NameList {
    const part = bytes.subarray(start, end);
    return this.#lists.get(
      keyOf(part),
      () => new NameList(namesOf(part, 3, 7), new Uint8Array(part)),
    );
  }

  #bodyIn(bytes: Uint8Array, { start, end }: Region, typeUrl: string): DeltaBody {
    const part = bytes.subarray(start, end);
    const body = this.#bodies.get(`${typeUrl}|${keyOf(part)}`, () => ({
      ...bodyOf(part, typeUrl),
      ...(part.length < minEncoded ? {} : { encoded: new Uint8Array(part) }),
    }));
    if (body.encoded !== undefined) this.#recent[this.#recentAt++ % maxRecent] = { typeUrl, body };
    return body;
  }

  /** A body that was sent lately, where it stands at an offset. Proxies reconnect in swarms. */
  #knownBody(bytes: Uint8Array, at: number, typeUrl: string): DeltaBody | undefined {
    for (const recent of this.#recent) {
      if (recent.typeUrl !== typeUrl) continue;
      const next = tagBehind(bytes, at, recent.body.encoded);
      if (next === undefined || (next >= 3 && next <= 5) || next === 8 || next === 9) continue;
      return recent.body;
    }
    return undefined;
  }
}

/** Which of the recent lists stands at an offset, whole and with nothing of its kind behind it. */
function knownAt(bytes: Uint8Array, at: number, recent: Iterable<NameList>): NameList | undefined {
  for (const list of recent) {
    const next = tagBehind(bytes, at, list.encoded);
    if (next !== undefined && next !== 3 && next !== 7) return list;
  }
  return undefined;
}

/** The number of the field behind `part`, if `part` stands at an offset; 0: the message ends there. */
function tagBehind(
  bytes: Uint8Array,
  at: number,
  part: Uint8Array | undefined,
): number | undefined {
  if (part === undefined) return undefined;
  const end = at + part.length;
  // Most differ early, and a view of bytes costs more than a look at a few.
  if (end > bytes.length || bytes[at + 1] !== part[1] || bytes[end - 1] !== part.at(-1)) {
    return undefined;
  }
  return Buffer.compare(part, bytes.subarray(at, end)) === 0 ? (bytes[end] ?? 0) >>> 3 : undefined;
}

function keyOf(part: Uint8Array): string {
  return part.length <= maxKeyBytes
    ? Buffer.from(part.buffer, part.byteOffset, part.length).toString('latin1')
    : hash('sha256', part, 'base64');
}

/** Names in field `plain`, and in the locators of field `locator`. */
function namesOf(bytes: Uint8Array, plain: number, locator: number): readonly string[] {
  const names: string[] = [];
  const fields = new FieldReader(bytes);
  while (fields.next()) {
    if (fields.wireType !== 2) continue;
    if (fields.field === plain) names.push(fields.text());
    else if (fields.field === locator) names.push(firstText(fields.content(), 1));
  }
  return names;
}

function bodyOf(bytes: Uint8Array, typeUrl: string): DeltaBody {
  const subscribe = namesOf(bytes, 3, 8);
  const unsubscribe = namesOf(bytes, 4, 9);
  const entries: Entry[] = [];
  const fields = new FieldReader(bytes);
  while (fields.next()) {
    if (fields.field !== 5 || fields.wireType !== 2) continue;
    const pair = fields.content();
    const name = firstText(pair, 1);
    const version = firstText(pair, 2);
    entries.push({
      typeUrl,
      name,
      hash: hashName(name),
      version,
      fragments: undefined,
      size: 0,
      refs: [],
    });
  }
  return {
    subscribe: subscribe.length === 0 ? noNames : new NameList(subscribe),
    unsubscribe: unsubscribe.length === 0 ? noNames : new NameList(unsubscribe),
    initial: entries.length === 0 ? undefined : new InitialVersions(entries),
  };
}

function firstText(bytes: Uint8Array, field: number): string {
  let text = '';
  const fields = new FieldReader(bytes);
  while (fields.next()) if (fields.field === field && fields.wireType === 2) text = fields.text();
  return text;
}

/** A google.rpc.Status: code 1, message 2. */
function errorOf(bytes: Uint8Array): ErrorDetail {
  let code = 0;
  let message = '';
  const fields = new FieldReader(bytes);
  while (fields.next()) {
    if (fields.field === 1 && fields.wireType === 0) code = fields.value;
    else if (fields.field === 2 && fields.wireType === 2) {
      message = textOf(bytes, fields.start, Math.min(fields.end, fields.start + maxErrorBytes));
    }
  }
  return { code, message };
}

/** Objects by content, held weakly. */
class InternTable<T extends object> {
  readonly #known = new Map<string, WeakRef<T>>();
  #sweepAt = 1_024;

  get(key: string, make: () => T): T {
    const known = this.#known.get(key)?.deref();
    if (known !== undefined) return known;
    if (this.#known.size >= this.#sweepAt) {
      for (const [other, ref] of this.#known) {
        if (ref.deref() === undefined) this.#known.delete(other);
      }
      this.#sweepAt = Math.max(1_024, 2 * this.#known.size);
    }
    const made = make();
    this.#known.set(key, new WeakRef(made));
    return made;
  }
}
