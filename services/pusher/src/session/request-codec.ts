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
import { canonicalName } from '../resource-name.ts';
import { hashName } from '../view/trie.ts';
import type { Entry } from '../view/type-view.ts';
import { FieldReader, LimitError, textOf } from '../wire.ts';
import type { Cost } from './kept-names.ts';
import { KnownSets } from './known-sets.ts';
import {
  InitialVersions,
  type DeltaRequest,
  type ErrorDetail,
  type SotwRequest,
} from './request.ts';
import { defaultLimits } from './session-options.ts';
import { SetDigest, type DigestKey } from './set-digest.ts';
import { NameList, noNames } from './subscription.ts';

const maxErrorBytes = 8 * 1024;

/**
 * The last few small requests: all streams that are sent one frame ACK it with the same bytes. One
 * that names a node is its stream's own.
 */
class Repeats<R extends DeltaRequest | SotwRequest> {
  readonly #last: { readonly bytes: Uint8Array; readonly request: R }[] = [];
  #at = 0;

  find(bytes: Uint8Array): R | undefined {
    const { length } = bytes;
    for (const known of this.#last) {
      if (known.bytes.length !== length) continue;
      // The nonce is near the end.
      if (known.bytes[length - 1] !== bytes[length - 1]) continue;
      if (Buffer.compare(known.bytes, bytes) === 0) return known.request;
    }
    return undefined;
  }

  note(bytes: Uint8Array, request: R): R {
    if (bytes.length > maxRepeatedBytes || request.node !== undefined) return request;
    this.#last[this.#at++ % maxRepeated] = { bytes: new Uint8Array(bytes), request };
    return request;
  }
}

const maxRepeated = 8;
const maxRepeatedBytes = 1_024;

export class RequestDecoder {
  readonly #lists = new KnownSets<NameList>((list) => keptBytes(list, list));
  readonly #versions = new KnownSets<InitialVersions>((said) => keptBytes(said, said.cost));
  readonly #sotw = new Repeats<SotwRequest>();
  readonly #delta = new Repeats<DeltaRequest>();
  /** Of the request that is being read. */
  readonly #subscribe: SetDigest;
  readonly #unsubscribe: SetDigest;
  readonly #initial: SetDigest;

  readonly #maxNames: number;

  /** `maxNames`: in one request; also of those that a client says it holds. */
  constructor(key: DigestKey, maxNames = defaultLimits.maxNames) {
    this.#maxNames = maxNames;
    this.#subscribe = new SetDigest(key);
    this.#unsubscribe = new SetDigest(key);
    this.#initial = new SetDigest(key);
  }

  /**
   * `recent`: the stream's last lists, one per type. Throws a WireError for bytes that are no
   * request, a LimitError for more names than may be.
   */
  sotw(bytes: Uint8Array, recent: Iterable<NameList> = []): SotwRequest {
    return this.#sotw.find(bytes) ?? this.#sotw.note(bytes, this.#decodeSotw(bytes, recent));
  }

  /** Throws as `sotw` does. */
  delta(bytes: Uint8Array): DeltaRequest {
    return this.#delta.find(bytes) ?? this.#delta.note(bytes, this.#decodeDelta(bytes));
  }

  #decodeSotw(bytes: Uint8Array, recent: Iterable<NameList>): SotwRequest {
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

  #decodeDelta(bytes: Uint8Array): DeltaRequest {
    const fields = new FieldReader(bytes);
    let typeUrl = '';
    let nonce = '';
    let node: Uint8Array | undefined;
    let error: ErrorDetail | undefined;
    const [subscribe, unsubscribe, initial] = [this.#subscribe, this.#unsubscribe, this.#initial];
    for (const digest of [subscribe, unsubscribe, initial]) digest.begin(bytes);
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
          subscribe.addFields(fields, from);
          break;
        case 4:
          unsubscribe.addFields(fields, from);
          break;
        case 5:
          initial.addFields(fields, from);
          break;
        case 6:
          nonce = fields.text();
          break;
        case 7:
          error = errorOf(fields.content());
          break;
        case 8:
          addName(subscribe, fields);
          break;
        case 9:
          addName(unsubscribe, fields);
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
      subscribe: this.#list(subscribe, () => new NameList(namesIn(bytes, 3, 8))),
      unsubscribe: this.#list(unsubscribe, () => new NameList(namesIn(bytes, 4, 9))),
      initial: this.#versionsOf(initial, typeUrl, bytes),
    };
  }

  /** The names in a state-of-the-world request; they mostly stand together. */
  #named(bytes: Uint8Array, isNamed: boolean): NameList {
    if (!isNamed) return noNames;
    const names = this.#subscribe;
    names.begin(bytes);
    let start = 0;
    let end = 0;
    const fields = new FieldReader(bytes);
    for (let from = 0; fields.next(); from = fields.at) {
      if (fields.wireType !== 2 || (fields.field !== 3 && fields.field !== 7)) continue;
      if (names.count === 0) start = end = from;
      const isNext = from === end;
      if (fields.field === 3) names.addFields(fields, from);
      else addName(names, fields);
      end = isNext ? fields.at : Number.NaN;
    }
    return this.#list(names, () => {
      const together = Number.isNaN(end) ? undefined : new Uint8Array(bytes.subarray(start, end));
      return new NameList(namesIn(bytes, 3, 7), together);
    });
  }

  #list(names: SetDigest, make: () => NameList): NameList {
    if (names.count === 0) return noNames;
    this.#bound(names);
    return this.#lists.get(names.text, make);
  }

  /** Before anything is made of them: a message may hold millions. */
  #bound({ count }: SetDigest): void {
    if (count <= this.#maxNames) return;
    throw new LimitError(`more than ${this.#maxNames} names in one request`);
  }

  #versionsOf(pairs: SetDigest, typeUrl: string, bytes: Uint8Array): InitialVersions | undefined {
    if (pairs.count === 0) return undefined;
    this.#bound(pairs);
    const make = (): InitialVersions => {
      const entries: Entry[] = [];
      for (const [name, version] of versionsIn(bytes)) {
        const nameHash = hashName(name);
        entries.push({ typeUrl, name, hash: nameHash, version, ...withoutBytes });
      }
      return new InitialVersions(entries);
    };
    if (isTooLong(typeUrl.length)) return make();
    return this.#versions.get(`${typeUrl} ${pairs.text}`, make);
  }
}

/** A request with such a text is refused: nothing of it is to be kept. */
function isTooLong(length: number): boolean {
  return length > defaultLimits.maxNameLength;
}

function keptBytes({ longest }: { readonly longest: number }, { bytes }: Cost): number {
  return isTooLong(longest) ? Number.POSITIVE_INFINITY : bytes;
}

const withoutBytes = { fragments: undefined, size: 0, refs: [] };

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

/** The name in a ResourceLocator. */
function addName(names: SetDigest, locator: FieldReader): void {
  const [start, end] = nameIn(locator);
  names.add(start, end);
}

function nameIn(locator: FieldReader): readonly [start: number, end: number] {
  const fields = locator.within();
  let name: [number, number] = [locator.start, locator.start];
  while (fields.next()) {
    if (fields.field === 1 && fields.wireType === 2) name = [fields.start, fields.end];
  }
  return name;
}

/** Names in the order of the message: those given as they are, and those in ResourceLocators. */
function namesIn(bytes: Uint8Array, plain: number, located: number): readonly string[] {
  const names: string[] = [];
  const fields = new FieldReader(bytes);
  while (fields.next()) {
    if (fields.wireType !== 2) continue;
    if (fields.field === plain) names.push(canonicalName(fields.text()));
    else if (fields.field === located) {
      names.push(canonicalName(textOf(bytes, ...nameIn(fields))));
    }
  }
  return names;
}

/**
 * Of `initial_resource_versions`. A name that stands there with two versions has none: sets that
 * differ in their order only are equal, so which comes last must not matter.
 */
function versionsIn(bytes: Uint8Array): ReadonlyMap<string, string> {
  const versions = new Map<string, string>();
  const fields = new FieldReader(bytes);
  while (fields.next()) {
    if (fields.wireType !== 2 || fields.field !== 5) continue;
    const pair = fields.within();
    let [name, version] = ['', ''];
    while (pair.next()) {
      if (pair.wireType !== 2) continue;
      if (pair.field === 1) name = canonicalName(pair.text());
      else if (pair.field === 2) version = pair.text();
    }
    const known = versions.get(name);
    versions.set(name, known === undefined || known === version ? version : '');
  }
  return versions;
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
