/**
 * Decoding of DiscoveryRequest and DeltaDiscoveryRequest, by hand, because almost all requests are
 * ACKs that repeat what is known: an ACK whose names are the last one's costs one comparison of
 * bytes, and equal lists of any client become one object, in whatever order they come, so that what
 * is computed from a list is computed once.
 *
 * Field numbers (`envoy/service/discovery/v3/discovery.proto`). DiscoveryRequest: version_info 1,
 * node 2, resource_names 3, type_url 4, response_nonce 5, error_detail 6, resource_locators 7.
 * DeltaDiscoveryRequest: node 1, type_url 2, subscribe 3, unsubscribe 4, initial_resource_versions
 * 5, response_nonce 6, error_detail 7, locators to subscribe 8 and unsubscribe 9. A
 * ResourceLocator's name is its field 1.
 */
import { hashName } from '../view/trie.ts';
import type { Entry } from '../view/type-view.ts';
import { FieldReader, textOf } from '../wire.ts';
import { KnownSets, type Spans } from './known-sets.ts';
import {
  InitialVersions,
  type DeltaRequest,
  type ErrorDetail,
  type SotwRequest,
} from './request.ts';
import { NameList, noNames } from './subscription.ts';

const maxErrorBytes = 8 * 1024;
const nothing: Spans = [];

export class RequestDecoder {
  readonly #lists = new KnownSets<NameList>();
  readonly #versions = new KnownSets<InitialVersions>();

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
    let isNamed = false;
    let isScattered = false;
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
          isScattered ||= known !== undefined;
          if (!isNamed) known = knownAt(bytes, from, recent);
          isNamed = true;
          if (known?.encoded !== undefined && !isScattered) fields.at = from + known.encoded.length;
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
    const names = known === undefined || isScattered ? this.#named(bytes, isNamed) : known;
    return { mode: 'sotw', versionInfo, typeUrl, nonce, node, error, names };
  }

  /** Throws a WireError for bytes that are no request. */
  delta(bytes: Uint8Array): DeltaRequest {
    const fields = new FieldReader(bytes);
    let typeUrl = '';
    let nonce = '';
    let node: Uint8Array | undefined;
    let error: ErrorDetail | undefined;
    const subscribe: number[] = [];
    const unsubscribe: number[] = [];
    const pairs: number[] = [];
    while (fields.next()) {
      if (fields.wireType !== 2) continue;
      switch (fields.field) {
        case 1:
          node = fields.content();
          break;
        case 2:
          typeUrl = fields.text();
          break;
        case 3:
          subscribe.push(fields.start, fields.end);
          break;
        case 4:
          unsubscribe.push(fields.start, fields.end);
          break;
        case 5:
          pairs.push(fields.start, fields.end);
          break;
        case 6:
          nonce = fields.text();
          break;
        case 7:
          error = errorOf(fields.content());
          break;
        case 8:
          pushName(subscribe, fields);
          break;
        case 9:
          pushName(unsubscribe, fields);
          break;
        default:
      }
    }
    return {
      mode: 'delta',
      typeUrl,
      nonce,
      node,
      error,
      subscribe: this.#list(bytes, subscribe),
      unsubscribe: this.#list(bytes, unsubscribe),
      initial: pairs.length === 0 ? undefined : this.#initial(bytes, pairs, typeUrl),
    };
  }

  /** The names in a state-of-the-world request; they mostly stand together. */
  #named(bytes: Uint8Array, isNamed: boolean): NameList {
    if (!isNamed) return noNames;
    const names: number[] = [];
    let start = 0;
    let end = 0;
    const fields = new FieldReader(bytes);
    for (let from = 0; fields.next(); from = fields.at) {
      if (fields.wireType !== 2 || (fields.field !== 3 && fields.field !== 7)) continue;
      if (names.length === 0) start = end = from;
      end = from === end ? fields.at : Number.NaN;
      if (fields.field === 3) names.push(fields.start, fields.end);
      else pushName(names, fields);
    }
    return this.#list(bytes, names, Number.isNaN(end) ? undefined : bytes.subarray(start, end));
  }

  #list(bytes: Uint8Array, names: Spans, encoded?: Uint8Array): NameList {
    if (names.length === 0) return noNames;
    return this.#lists.get('', bytes, { names, values: nothing }, () => {
      const copy = encoded === undefined ? undefined : new Uint8Array(encoded);
      return new NameList(textsOf(bytes, names), copy);
    });
  }

  #initial(bytes: Uint8Array, pairs: Spans, typeUrl: string): InitialVersions {
    const names: number[] = [];
    const values: number[] = [];
    const pair = new FieldReader(bytes);
    for (let at = 0; at < pairs.length; at += 2) {
      pair.at = pairs[at] ?? 0;
      pair.until = pairs[at + 1] ?? 0;
      let [nameStart, nameEnd, valueStart, valueEnd] = [0, 0, 0, 0];
      while (pair.next()) {
        if (pair.wireType !== 2) continue;
        if (pair.field === 1) [nameStart, nameEnd] = [pair.start, pair.end];
        else if (pair.field === 2) [valueStart, valueEnd] = [pair.start, pair.end];
      }
      names.push(nameStart, nameEnd);
      values.push(valueStart, valueEnd);
    }
    return this.#versions.get(typeUrl, bytes, { names, values }, () => {
      const versions = textsOf(bytes, values);
      return new InitialVersions(
        textsOf(bytes, names).map((name, at): Entry => ({
          typeUrl,
          name,
          hash: hashName(name),
          version: versions[at] ?? '',
          fragments: undefined,
          size: 0,
          refs: [],
        })),
      );
    });
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

/** Of a ResourceLocator. */
function pushName(names: number[], locator: FieldReader): void {
  const fields = new FieldReader(locator.bytes, locator.start);
  fields.until = locator.end;
  let [start, end] = [0, 0];
  while (fields.next()) {
    if (fields.field === 1 && fields.wireType === 2) [start, end] = [fields.start, fields.end];
  }
  names.push(start, end);
}

function textsOf(bytes: Uint8Array, spans: Spans): readonly string[] {
  const texts: string[] = [];
  for (let at = 0; at < spans.length; at += 2) {
    texts.push(textOf(bytes, spans[at] ?? 0, spans[at + 1] ?? 0));
  }
  return texts;
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
