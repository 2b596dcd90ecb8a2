/**
 * One gRPC stream on one TCP connection, for as little CPU as node:net allows, so that the server
 * is what is measured: frames of HTTP/2 by hand (RFC 9113), headers that are never decoded, windows
 * so large that none is ever given back. Good for servers that can be trusted, not for more.
 */
import { connect, type Socket } from 'node:net';

const frameHead = 9;
const grpcPrefix = 5;
const [data, headers, reset, settings, ping, goAway] = [0, 1, 3, 4, 6, 7];
const [ack, endStream, padded, endHeaders] = [1, 1, 8, 4];

/** All sockets of a process read into one buffer: a read is handled before the next one begins. */
const readBuffer = Buffer.alloc(256 * 1024);
/** And messages of several frames are put together in one: a copy of each is work for the collector. */
let assembly = Buffer.alloc(256 * 1024);

export interface RawStreamOptions {
  readonly port: number;
  readonly localAddress: string;
  readonly path: string;
  /** The first message, without prefix. */
  readonly first: Uint8Array;
  /** Bytes that it takes of the stream, and never more: a client that stops reading. Default: all. */
  readonly window?: number;
  readonly onHeaders: () => void;
  /** A message stands in `bytes` from `start` to `end`, during the call only. */
  readonly onMessage: (bytes: Buffer, start: number, end: number) => void;
  readonly onFail: (error: Error) => void;
}

export class RawStream {
  readonly #options: RawStreamOptions;
  readonly #socket: Socket;
  /** A frame that is not whole yet. */
  #rest: Buffer | undefined;
  /** A message that is not whole yet: of an earlier read, and how much there is of it now. */
  #message: Buffer | undefined;
  #messageBytes = 0;
  #closed = false;

  constructor(options: RawStreamOptions) {
    this.#options = options;
    const { port, localAddress, path, first, window = largestWindow } = options;
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      localAddress,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (length) => {
          this.#read(readBuffer.subarray(0, length));
          return true;
        },
      },
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the connection ended')));
    this.#socket.write(Buffer.concat([preface(path, window), framed(first)]));
  }

  /** `frame`: of `framed`; the same may go to any stream. */
  write(frame: Buffer): void {
    this.#socket.write(frame);
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    this.close();
    this.#options.onFail(error);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    this.#message?.copy(assembly);
    this.#message = undefined;
    let at = 0;
    while (bytes.length - at >= frameHead && !this.#closed) {
      const end = at + frameHead + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      this.#frame(bytes, at, end);
      at = end;
    }
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at));
    if (this.#messageBytes === 0) return;
    this.#message = Buffer.from(assembly.subarray(0, this.#messageBytes));
  }

  #frame(bytes: Buffer, at: number, end: number): void {
    const type = bytes[at + 3];
    const flags = bytes[at + 4] ?? 0;
    const start = at + frameHead;
    if (type === data) {
      if ((flags & padded) !== 0) this.#fail(new Error('a padded frame'));
      else this.#data(bytes, start, end);
    } else if (type === headers) {
      if ((flags & endStream) === 0) this.#options.onHeaders();
    } else if (type === settings || type === ping) {
      if ((flags & ack) === 0) {
        const content = type === ping ? bytes.subarray(start, end) : Buffer.alloc(0);
        this.#socket.write(frame(type, ack, 0, content));
      }
    }
    const ended = (type === data || type === headers) && (flags & endStream) !== 0;
    if (ended || type === reset || type === goAway) {
      this.#fail(new Error(`the stream ended: ${bytes.subarray(at, end).toString('hex')}`));
    }
  }

  #data(bytes: Buffer, start: number, end: number): void {
    if (this.#messageBytes === 0 && start + grpcPrefix <= end) {
      const from = start + grpcPrefix;
      if (from + bytes.readUInt32BE(start + 1) === end) {
        this.#options.onMessage(bytes, from, end);
        return;
      }
    }
    const there = this.#messageBytes + end - start;
    if (there > assembly.length) assembly = Buffer.concat([assembly], 2 * there);
    bytes.copy(assembly, this.#messageBytes, start, end);
    this.#messageBytes = there;
    if (there < grpcPrefix) return;
    const length = grpcPrefix + assembly.readUInt32BE(1);
    if (there > length) this.#fail(new Error('two messages in one frame'));
    if (there !== length) return;
    this.#messageBytes = 0;
    this.#options.onMessage(assembly, grpcPrefix, length);
  }
}

/** A message of the stream, ready to be written. It must fit into one frame. */
export function framed(message: Uint8Array): Buffer {
  const content = Buffer.alloc(grpcPrefix + message.length);
  content.writeUInt32BE(message.length, 1);
  content.set(message, grpcPrefix);
  const parts: Buffer[] = [];
  for (let at = 0; at < content.length; at += maxFrame) {
    parts.push(frame(data, 0, 1, content.subarray(at, at + maxFrame)));
  }
  return Buffer.concat(parts);
}

const maxFrame = 16_384;
const largestWindow = 0x7fff_ffff;

function frame(type: number, flags: number, stream: number, content: Uint8Array): Buffer {
  const out = Buffer.alloc(frameHead + content.length);
  out.writeUIntBE(content.length, 0, 3);
  out[3] = type;
  out[4] = flags;
  out.writeUInt32BE(stream, 5);
  out.set(content, frameHead);
  return out;
}

/** Client preface, the stream's window, the largest of the connection, and the request's headers. */
function preface(path: string, window: number): Buffer {
  const initialWindow = Buffer.alloc(6);
  initialWindow.writeUInt16BE(4, 0);
  initialWindow.writeUInt32BE(window, 2);
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(largestWindow - 65_535, 0);
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame(settings, 0, 0, initialWindow),
    frame(8, 0, 0, increment),
    frame(headers, endHeaders, 1, requestHeaders(path)),
  ]);
}

/** HPACK (RFC 7541) without any compression: indexed names from the static table, plain values. */
function requestHeaders(path: string): Buffer {
  const text = (value: string): Buffer =>
    Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
  return Buffer.concat([
    Buffer.of(0x83, 0x86),
    Buffer.of(0x04),
    text(path),
    Buffer.of(0x01),
    text('localhost'),
    Buffer.of(0x0f, 0x10),
    text('application/grpc'),
    Buffer.of(0x00),
    text('te'),
    text('trailers'),
  ]);
}
