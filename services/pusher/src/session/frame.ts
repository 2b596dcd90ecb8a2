/**
 * Responses as bytes. A response is written once, whole with its gRPC prefix and its nonce, into
 * one buffer, and that buffer goes to every stream in the same place. Resources are never decoded:
 * their fragments are copied between a few hand-written field headers, so a response costs one copy
 * per push, not per stream.
 *
 * Field numbers are those of `envoy/service/discovery/v3/discovery.proto`:
 * DiscoveryResponse: version_info 1, resources 2 (Any), type_url 4, nonce 5, control_plane 6.
 * DeltaDiscoveryResponse: system_version_info 1, resources 2 (Resource), type_url 4, nonce 5,
 * removed_resources 6, control_plane 7. Resource: version 1, resource 2 (Any), name 3, aliases 4.
 * Any: type_url 1, value 2. ControlPlane: identifier 1.
 */
import type { Entry, TypeView } from '../view/type-view.ts';
import type { Mode } from './request.ts';

/** gRPC's length-prefixed message: 1 byte flags, 4 bytes length. */
export const prefixBytes = 5;

/** What to say to all streams in one place; without the nonce. */
export interface Plan {
  readonly mode: Mode;
  readonly typeUrl: string;
  /** `version_info`, or `system_version_info` (for people only, rule 43). */
  readonly version: string;
  /** Sent whole. */
  readonly entries: readonly Entry[];
  /** Of `entries`, those that differ from what the client held: what a NACK can be about. */
  readonly changed: readonly Entry[];
  /** Delta: gone, or never there (rules 39, 40). */
  readonly removed: readonly string[];
  /** What the changed entries need: EDS names of clusters that now warm. */
  readonly needs: ReadonlySet<string>;
  /** What the client holds if it accepts. */
  readonly view: TypeView;
}

/** One encoded response: the same buffer for all. */
export interface Frame {
  readonly plan: Plan;
  readonly nonce: string;
  /** Grows with every frame of the process. */
  readonly sequence: number;
  /** With the gRPC prefix. */
  readonly bytes: Buffer;
  /** Of `bytes`, the part that is resources' messages. */
  readonly resourceBytes: number;
}

/**
 * Opens an entry whose fragments are not its message as it is (secrets); `undefined`: cannot be
 * sent.
 */
export type Materialise = (entry: Entry) => readonly Uint8Array[] | undefined;

export function encodeFrame(
  plan: Plan,
  sequence: number,
  controlPlane: Uint8Array,
  materialise: Materialise,
): Frame {
  const nonce = sequence.toString(36);
  const type = Buffer.from(plan.typeUrl);
  const delta = plan.mode === 'delta';
  const bodies: Body[] = [];
  for (const entry of plan.entries) {
    const fragments = materialise(entry);
    if (fragments !== undefined) bodies.push(bodyOf(entry, fragments, type, delta));
  }
  const version = Buffer.from(plan.version);
  const removed = plan.removed.map((name) => Buffer.from(name));
  let length = fieldSize(version.length) + fieldSize(type.length) + fieldSize(nonce.length);
  if (controlPlane.length > 0) length += fieldSize(controlPlane.length);
  let resourceBytes = 0;
  for (const body of bodies) {
    length += fieldSize(body.length);
    resourceBytes += body.messageLength;
  }
  for (const name of removed) length += fieldSize(name.length);
  const out = new Output(prefixBytes + length);
  out.byte(0);
  out.uint32(length);
  out.field(1, version);
  for (const body of bodies) writeBody(out, body, type, delta);
  out.field(4, type);
  out.field(5, Buffer.from(nonce));
  for (const name of removed) out.field(6, name);
  if (controlPlane.length > 0) out.field(delta ? 7 : 6, controlPlane);
  return { plan, nonce, sequence, bytes: out.bytes, resourceBytes };
}

/** An encoded ControlPlane message. */
export function encodeControlPlane(identifier: string): Uint8Array {
  const text = Buffer.from(identifier);
  if (text.length === 0) return text;
  const out = new Output(fieldSize(text.length));
  out.field(1, text);
  return out.bytes;
}

interface Body {
  readonly fragments: readonly Uint8Array[];
  readonly messageLength: number;
  readonly anyLength: number;
  readonly name: Buffer;
  readonly version: Buffer;
  readonly aliases: readonly Buffer[];
  /** Of the whole: a Resource (delta) or an Any. */
  readonly length: number;
}

const nothing = Buffer.alloc(0);
const none: readonly Buffer[] = [];

function bodyOf(
  entry: Entry,
  fragments: readonly Uint8Array[],
  type: Buffer,
  delta: boolean,
): Body {
  let messageLength = 0;
  for (const fragment of fragments) messageLength += fragment.length;
  const anyLength = fieldSize(type.length) + fieldSize(messageLength);
  if (!delta) {
    const length = anyLength;
    const rest = { name: nothing, version: nothing, aliases: none, length };
    return { fragments, messageLength, anyLength, ...rest };
  }
  const name = Buffer.from(entry.name);
  const version = Buffer.from(entry.version);
  const aliases = entry.aliases?.map((alias) => Buffer.from(alias)) ?? none;
  let length = fieldSize(version.length) + fieldSize(anyLength) + fieldSize(name.length);
  for (const alias of aliases) length += fieldSize(alias.length);
  return { fragments, messageLength, anyLength, name, version, aliases, length };
}

function writeBody(out: Output, body: Body, type: Buffer, delta: boolean): void {
  out.head(2, body.length);
  if (delta) {
    out.field(1, body.version);
    out.head(2, body.anyLength);
  }
  out.field(1, type);
  out.head(2, body.messageLength);
  for (const fragment of body.fragments) out.raw(fragment);
  if (!delta) return;
  out.field(3, body.name);
  for (const alias of body.aliases) out.field(4, alias);
}

/** Bytes of a length-delimited field whose number is below 16. */
function fieldSize(length: number): number {
  return 1 + varintSize(length) + length;
}

function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

class Output {
  readonly bytes: Buffer;
  #at = 0;

  constructor(length: number) {
    // Not from the pool: the buffer may live long, and must not keep its neighbours alive.
    this.bytes = Buffer.allocUnsafeSlow(length);
  }

  byte(value: number): void {
    this.bytes[this.#at++] = value;
  }

  uint32(value: number): void {
    this.#at = this.bytes.writeUInt32BE(value, this.#at);
  }

  /** Tag and length of a length-delimited field. */
  head(field: number, length: number): void {
    this.bytes[this.#at++] = (field << 3) | 2;
    let rest = length;
    while (rest >= 0x80) {
      this.bytes[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.#at++] = rest;
  }

  raw(part: Uint8Array): void {
    this.bytes.set(part, this.#at);
    this.#at += part.length;
  }

  field(field: number, content: Uint8Array): void {
    this.head(field, content.length);
    this.raw(content);
  }
}
