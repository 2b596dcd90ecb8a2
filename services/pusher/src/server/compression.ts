/**
 * Compression of messages (grpc/grpc `doc/compression.md`): gzip, and deflate, which is zlib's
 * format.
 */
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { status, type ServerLimits, type Status } from './port.ts';

export type Encoding = 'gzip' | 'deflate';

/** What requests may be encoded in: the value of `grpc-accept-encoding`. */
export const acceptedEncodings = 'identity,deflate,gzip';

const encodings: ReadonlySet<string> = new Set<Encoding>(['gzip', 'deflate']);

export function isEncoding(name: string): name is Encoding {
  return encodings.has(name);
}

/** The best that a client takes, by its `grpc-accept-encoding`; `undefined`: nothing but identity. */
export function chooseEncoding(accepted: string | undefined): Encoding | undefined {
  const names = new Set((accepted ?? '').split(',', 16).map((name) => name.trim()));
  if (names.has('gzip')) return 'gzip';
  return names.has('deflate') ? 'deflate' : undefined;
}

/** Up to there a message may grow as it likes; beyond, only so many times. */
const freeBytes = 1024 * 1024;
const maxGrowth = 100;

/**
 * A request's message as it was. A bomb (deflate shrinks zeros a thousand times) is not let go off:
 * nobody's subscriptions shrink more than a hundred times.
 */
export function decompress(
  bytes: Uint8Array,
  encoding: Encoding,
  { maxMessageBytes }: Pick<ServerLimits, 'maxMessageBytes'>,
): Buffer | Status {
  const mostBytes = Math.min(maxMessageBytes, Math.max(freeBytes, maxGrowth * bytes.length));
  const expand = encoding === 'gzip' ? gunzipSync : inflateSync;
  try {
    return expand(bytes, { maxOutputLength: mostBytes });
  } catch (error) {
    return error instanceof RangeError
      ? {
          code: status.resourceExhausted,
          message: `${bytes.length} bytes of ${encoding} hold more than ${mostBytes}`,
        }
      : { code: status.internal, message: `a message that is no ${encoding}` };
  }
}

const prefixBytes = 5;
/** Of the fastest kind: the event loop waits for it. */
const level = 1;
/** More is not worth what the client has to do. */
const worthwhile = 0.8;

/**
 * Responses in compressed form, made once for all streams: a response is one buffer that many
 * streams share, and so is what becomes of it. Small ones are not worth it, and large ones would
 * hold the event loop.
 */
export class Compressor {
  readonly #limits: Pick<ServerLimits, 'compressFromBytes' | 'compressToBytes'>;
  readonly #made: Readonly<Record<Encoding, WeakMap<Uint8Array, Uint8Array>>> = {
    gzip: new WeakMap(),
    deflate: new WeakMap(),
  };

  constructor(limits: Pick<ServerLimits, 'compressFromBytes' | 'compressToBytes'>) {
    this.#limits = limits;
  }

  /** `framed` with its prefix, compressed, or itself where that does not pay. */
  of(framed: Uint8Array, encoding: Encoding): Uint8Array {
    const { compressFromBytes, compressToBytes } = this.#limits;
    if (framed.length < compressFromBytes || framed.length > compressToBytes) return framed;
    let made = this.#made[encoding].get(framed);
    if (made === undefined) this.#made[encoding].set(framed, (made = compress(framed, encoding)));
    return made;
  }
}

function compress(framed: Uint8Array, encoding: Encoding): Uint8Array {
  const shrink = encoding === 'gzip' ? gzipSync : deflateSync;
  const body = shrink(framed.subarray(prefixBytes), { level });
  if (body.length > worthwhile * framed.length) return framed;
  const out = Buffer.allocUnsafeSlow(prefixBytes + body.length);
  out[0] = 1;
  out.writeUInt32BE(body.length, 1);
  out.set(body, prefixBytes);
  return out;
}
