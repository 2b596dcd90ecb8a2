import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Encoding } from './compression.ts';
import type { Body, GrpcCall, Wire } from './grpc-call.ts';
import { errorCodes } from './h2/frames.ts';
import { headerBlock } from './h2/header-block.ts';
import type { Stream, StreamEvents } from './h2/stream.ts';
import { responseHeaders, trailersOf } from './requests.ts';
import { status, type Status } from './port.ts';

/** A stream of ours. What comes and goes of bodies does not pass here. */
export class NetWire implements Wire, StreamEvents {
  readonly #stream: Stream;
  readonly #timers: Timers;
  #patience: Timer | undefined;

  constructor(stream: Stream, timers: Timers) {
    this.#stream = stream;
    this.#timers = timers;
    stream.listen(this);
  }

  serve(call: GrpcCall): void {
    this.#stream.listen(call);
  }

  respond(encoding: Encoding | undefined): void {
    this.#stream.respond(responseBlock(encoding));
  }

  get body(): Body {
    return this.#stream;
  }

  end(ended: Status): void {
    this.#finish(ended.code === status.ok && ended.message === '' ? okBlock : blockOf(ended));
  }

  /** Trailers-Only. What the client still has to say is not wanted. */
  refuse(refused: Status): void {
    const fields = { ...responseHeaders(undefined), ...trailersOf(refused) };
    this.#finish(headerBlock(Object.entries(fields)));
  }

  refuseHttp(code: number, headers: Readonly<Record<string, string>>): void {
    const fields = { ':status': String(code), 'content-type': 'text/plain', ...headers };
    this.#stream.respond(headerBlock(Object.entries(fields)));
    this.#stream.write(refusal);
    this.#finish();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  expects(bytes: number): void {
    this.#stream.expects(bytes);
  }

  /** Of what is refused, nothing is wanted. */
  data(): void {
    return undefined;
  }

  ended(): void {
    return undefined;
  }

  drained(): void {
    return undefined;
  }

  closed(): void {
    this.#patience?.cancel();
  }

  #finish(trailers?: Uint8Array): void {
    this.#stream.end(trailers);
    this.#seeOut();
  }

  /**
   * A stream that was answered is over when the client has read and said all. One that does not end
   * its side, or does not read on, must not keep the stream open for ever.
   */
  #seeOut(): void {
    const stream = this.#stream;
    if (stream.closed) return;
    const { localEnded, unsentBytes } = stream;
    this.#patience = this.#timers.after(localEnded ? saysMs : readsMs, () => {
      if (localEnded) stream.reset(errorCodes.none);
      else if (stream.unsentBytes === unsentBytes) stream.reset(errorCodes.cancel);
      else this.#seeOut();
    });
  }
}

/** Whoever was answered ends its side within that time. */
const saysMs = 200;
/** Whoever has more to read has read some of it. */
const readsMs = 10_000;
const refusal = Buffer.from('This is a server of gRPC.\n');
const okBlock = blockOf({ code: status.ok, message: '' });
const responseBlocks = new Map<Encoding | undefined, Uint8Array>();

/** There are three: they are made once. */
function responseBlock(encoding: Encoding | undefined): Uint8Array {
  let block = responseBlocks.get(encoding);
  if (block === undefined) {
    block = headerBlock(Object.entries(responseHeaders(encoding)));
    responseBlocks.set(encoding, block);
  }
  return block;
}

function blockOf(ended: Status): Uint8Array {
  return headerBlock(Object.entries(trailersOf(ended)));
}
