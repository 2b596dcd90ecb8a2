import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { Collector, SeenSpan } from './spans.ts';

/** Takes OTLP over HTTP, as protobuf, and keeps what is said of spans. */
export class OtlpReceiver implements Collector {
  readonly endpoint: string;
  readonly #server: Server;
  readonly #spans: SeenSpan[] = [];
  readonly #bodies: string[] = [];

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${port}`;
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.once('end', () => {
        const body = Buffer.concat(chunks);
        this.#bodies.push(body.toString('latin1'));
        this.#spans.push(...spansOf(body));
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
      });
    });
  }

  static async start(): Promise<OtlpReceiver> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return new OtlpReceiver(server, typeof address === 'object' ? (address?.port ?? 0) : 0);
  }

  spans(): Promise<readonly SeenSpan[]> {
    return Promise.resolve(this.#spans);
  }

  text(): Promise<string> {
    return Promise.resolve(this.#bodies.join('\n'));
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    return Promise.resolve();
  }
}

/** `ExportTraceServiceRequest`; the numbers are those of opentelemetry/proto/trace/v1. */
function spansOf(request: Uint8Array): readonly SeenSpan[] {
  const spans: SeenSpan[] = [];
  for (const ofResource of read(request).messages(1)) {
    const resource = attributesOf(read(ofResource).message(1), 1);
    const service = String(resource['service.name']);
    for (const ofScope of read(ofResource).messages(2)) {
      for (const bytes of read(ofScope).messages(2)) {
        const span = read(bytes);
        const hex = (field: number): string => Buffer.from(span.message(field)).toString('hex');
        const name = Buffer.from(span.message(5)).toString();
        const ids = { trace: hex(1), id: hex(2), parent: hex(4) };
        spans.push({ ...ids, service, name, attributes: attributesOf(bytes, 9) });
      }
    }
  }
  return spans;
}

function attributesOf(message: Uint8Array, field: number): SeenSpan['attributes'] {
  const attributes: Record<string, string | number | boolean> = {};
  for (const pair of read(message).messages(field)) {
    const value = read(read(pair).message(2));
    const key = Buffer.from(read(pair).message(1)).toString();
    const [text] = value.messages(1);
    const whole = value.numbers(2)[0] ?? value.numbers(3)[0] ?? value.numbers(4)[0];
    attributes[key] = text === undefined ? (whole ?? '') : Buffer.from(text).toString();
  }
  return attributes;
}

interface Fields {
  messages(field: number): readonly Uint8Array[];
  /** The first one; empty if there is none. */
  message(field: number): Uint8Array;
  numbers(field: number): readonly number[];
}

function read(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const messages: (readonly [number, Uint8Array])[] = [];
  const numbers: (readonly [number, number])[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) messages.push([field, reader.bytes()]);
    else if (type === WireType.Varint) numbers.push([field, Number(reader.int64())]);
    else if (type === WireType.Bit64) numbers.push([field, reader.double()]);
    else reader.skip(type, field);
  }
  const of = <T>(all: readonly (readonly [number, T])[], field: number): readonly T[] =>
    all.filter(([at]) => at === field).map(([, value]) => value);
  return {
    messages: (field) => of(messages, field),
    message: (field) => of(messages, field)[0] ?? new Uint8Array(),
    numbers: (field) => of(numbers, field),
  };
}
