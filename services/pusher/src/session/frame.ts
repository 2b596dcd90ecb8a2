/**
 * Responses as bytes. A response is written once, whole with its gRPC prefix and its nonce, into
 * one buffer, and that buffer goes to every stream in the same place. Resources are never decoded:
 * their fragments are copied between a few hand-written field headers, so a response costs one copy
 * per push, not per stream.
 *
 * Field numbers are those of `envoy/service/discovery/v3/discovery.proto`:
 * DiscoveryResponse: version_info 1, resources 2 (Any), type_url 4, nonce 5, control_plane 6.
 * DeltaDiscoveryResponse: system_version_info 1, resources 2 (Resource), type_url 4, nonce 5,
 * removed_resources 6, control_plane 7. Resource: version 1, resource 2 (Any), name 3, aliases 4,
 * ttl 6 (Duration: seconds 1, nanos 2). Any: type_url 1, value 2. ControlPlane: identifier 1.
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
  /** Delta: asked for by names that nothing has; said by a resource without a message (rule 49). */
  readonly unknown: readonly string[];
  /** What the changed entries need: EDS names of clusters that now warm. */
  readonly needs: ReadonlySet<string>;
  /** What the client holds if it accepts. */
  readonly view: TypeView;
  /** Of each resource (rule 45); 0: none, and what a resource had before is taken back. */
  readonly ttlMs: number;
  /** Resources are named without their messages, only for their TTL (rule 46). */
  readonly heartbeat: boolean;
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
  const shape: Shape = {
    type,
    wrapped: delta || plan.ttlMs > 0 || plan.heartbeat,
    inAny: !delta,
    version: delta ? undefined : Buffer.from(plan.version),
    heartbeat: plan.heartbeat,
    ttl: plan.ttlMs > 0 ? encodeDuration(plan.ttlMs) : nothing,
  };
  const bodies: Body[] = [];
  for (const entry of plan.entries) {
    const fragments = plan.heartbeat ? noFragments : materialise(entry);
    if (fragments !== undefined) bodies.push(bodyOf(entry, fragments, shape));
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
  const unknown = plan.unknown.map((name) => Buffer.from(name));
  for (const name of unknown) length += fieldSize(2 * fieldSize(name.length));
  const out = new Output(prefixBytes + length);
  out.byte(0);
  out.uint32(length);
  out.field(1, version);
  for (const body of bodies) writeBody(out, body, shape);
  for (const name of unknown) {
    out.head(2, 2 * fieldSize(name.length));
    out.field(3, name);
    out.field(4, name);
  }
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

/** How resources are written in one response. */
interface Shape {
  readonly type: Buffer;
  /** In a Resource: always in delta; in state of the world where there is a TTL (rule 47). */
  readonly wrapped: boolean;
  /** In state of the world, that Resource is itself in an Any. */
  readonly inAny: boolean;
  /** State of the world: of all resources; `undefined`: each has its own. */
  readonly version: Buffer | undefined;
  readonly heartbeat: boolean;
  /** An encoded Duration. */
  readonly ttl: Buffer;
}

interface Body {
  readonly fragments: readonly Uint8Array[];
  readonly messageLength: number;
  readonly anyLength: number;
  readonly name: Buffer;
  readonly version: Buffer;
  readonly aliases: readonly Buffer[];
  readonly resourceLength: number;
  /** Of the whole. */
  readonly length: number;
}

const nothing = Buffer.alloc(0);
const noAliases: readonly Buffer[] = [];
const noFragments: readonly Uint8Array[] = [];
const resourceType = Buffer.from('type.googleapis.com/envoy.service.discovery.v3.Resource');

function bodyOf(entry: Entry, fragments: readonly Uint8Array[], shape: Shape): Body {
  let messageLength = 0;
  for (const fragment of fragments) messageLength += fragment.length;
  const anyLength = fieldSize(shape.type.length) + fieldSize(messageLength);
  if (!shape.wrapped) {
    const none = { name: nothing, version: nothing, aliases: noAliases, resourceLength: 0 };
    return { fragments, messageLength, anyLength, ...none, length: anyLength };
  }
  const name = Buffer.from(entry.name);
  const version = shape.version ?? Buffer.from(entry.version);
  const aliases = entry.aliases?.map((alias) => Buffer.from(alias)) ?? noAliases;
  let resourceLength = fieldSize(version.length) + fieldSize(name.length);
  if (!shape.heartbeat) resourceLength += fieldSize(anyLength);
  for (const alias of aliases) resourceLength += fieldSize(alias.length);
  if (shape.ttl.length > 0) resourceLength += fieldSize(shape.ttl.length);
  const length = shape.inAny
    ? fieldSize(resourceType.length) + fieldSize(resourceLength)
    : resourceLength;
  const lengths = { messageLength, anyLength, resourceLength, length };
  return { fragments, name, version, aliases, ...lengths };
}

function writeBody(out: Output, body: Body, shape: Shape): void {
  out.head(2, body.length);
  if (shape.wrapped) {
    if (shape.inAny) {
      out.field(1, resourceType);
      out.head(2, body.resourceLength);
    }
    out.field(1, body.version);
    if (!shape.heartbeat) out.head(2, body.anyLength);
  }
  if (!shape.heartbeat) {
    out.field(1, shape.type);
    out.head(2, body.messageLength);
    for (const fragment of body.fragments) out.raw(fragment);
  }
  if (!shape.wrapped) return;
  out.field(3, body.name);
  for (const alias of body.aliases) out.field(4, alias);
  if (shape.ttl.length > 0) out.field(6, shape.ttl);
}

function encodeDuration(ms: number): Buffer {
  const parts: number[] = [];
  const put = (field: number, value: number): void => {
    if (value === 0) return;
    parts.push(field << 3);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) parts.push((rest % 0x80) | 0x80);
    parts.push(rest);
  };
  put(1, Math.floor(ms / 1_000));
  put(2, (ms % 1_000) * 1_000_000);
  return Buffer.from(parts);
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
