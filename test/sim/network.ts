/** RPCs between simulated clients and real pushers: messages in order, late, or cut off. */
import {
  status,
  type CallHandler,
  type Method,
  type Peer,
  type RpcServer,
  type RpcServerOptions,
  type Status,
} from '@watershed/pusher/server/port.ts';
import type { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import type { Life } from './life.ts';

export interface CallNetwork {
  latencyMs(): number;
  /** Whether a written message fills what is between the two, and for how long. */
  blockedMs(): number;
}

export interface CallEvents {
  /** A message without its prefix. */
  readonly message: (bytes: Uint8Array) => void;
  readonly closed: (ended: Status) => void;
  /** At the moment when the server says it: what it knew then can be seen. */
  readonly written?: (bytes: Uint8Array) => void;
}

export interface ClientCall {
  send(bytes: Uint8Array): void;
  /** Without a word. */
  cut(): void;
}

const local: Peer = {
  address: '127.0.0.1',
  port: 1,
  secure: false,
  identities: [],
  certificateProblem: '',
};
const prefixBytes = 5;
const gone: Status = { code: status.unavailable, message: 'the connection is gone' };

export class SimNetwork {
  readonly #time: VirtualTime;
  readonly #network: CallNetwork;
  readonly #servers = new Map<string, SimServer>();

  constructor(time: VirtualTime, network: CallNetwork) {
    this.#time = time;
    this.#network = network;
  }

  /** What `createPusher` takes as its transport. */
  listen(life: Life): (options: RpcServerOptions) => RpcServer {
    return ({ methods }) => {
      const server = new SimServer(methods, () => {
        // What is dead does not listen, though its code may still be in the midst of something.
        if (!life.over) this.#servers.set(life.name, server);
      });
      life.atEnd(() => server.cut());
      return server;
    };
  }

  /** Opens a call to whoever listens under that name. Default: as a process of its machine. */
  call(name: string, path: string, events: CallEvents, peer: Peer = local): ClientCall {
    const server = this.#servers.get(name);
    const method = server?.method(path);
    if (server === undefined || method === undefined) {
      this.#time.after(this.#network.latencyMs(), () => events.closed(gone));
      return { send: () => undefined, cut: () => undefined };
    }
    const call = new Call(this.#time, this.#network, events, () => server.calls.delete(call));
    server.calls.add(call);
    call.open(method, peer);
    return call;
  }
}

class SimServer implements RpcServer {
  readonly calls = new Set<Call>();
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #listening: () => void;
  #open = false;

  constructor(methods: readonly Method[], listening: () => void) {
    this.#methods = new Map(methods.map((method) => [method.path, method]));
    this.#listening = listening;
  }

  get connections(): number {
    return this.calls.size;
  }

  method(path: string): Method | undefined {
    return this.#open ? this.#methods.get(path) : undefined;
  }

  async listen(_host: string, port: number): Promise<number> {
    this.#open = true;
    this.#listening();
    return port;
  }

  async stop(): Promise<void> {
    this.#open = false;
    for (const call of this.calls) call.cut();
  }

  setTls(): void {}

  /** Its process died. */
  cut(): void {
    this.#open = false;
    for (const call of this.calls) call.die();
  }
}

/** One call, as both ends see it. Each direction is a queue: messages keep their order. */
class Call implements ClientCall {
  readonly #time: VirtualTime;
  readonly #network: CallNetwork;
  readonly #events: CallEvents;
  readonly #forget: () => void;
  readonly #toServer: (() => void)[] = [];
  readonly #toClient: (() => void)[] = [];
  #handler: CallHandler | undefined;
  #serverDone = false;
  #clientDone = false;

  constructor(time: VirtualTime, network: CallNetwork, events: CallEvents, forget: () => void) {
    this.#time = time;
    this.#network = network;
    this.#events = events;
    this.#forget = forget;
  }

  open(method: Method, peer: Peer): void {
    this.#queue(this.#toServer, () => {
      const handler = method.open({
        path: method.path,
        peer,
        isReady: true,
        header: () => undefined,
        write: (framed) => this.#write(framed),
        end: (ended) => this.#end(ended),
      });
      if (handler instanceof Promise) throw new TypeError('calls in plaintext open at once');
      if (!this.#serverDone) this.#handler = handler;
    });
  }

  send(bytes: Uint8Array): void {
    if (this.#clientDone) return;
    this.#queue(this.#toServer, () => {
      if (!this.#serverDone) this.#handler?.message(bytes);
    });
  }

  cut(): void {
    this.#close(gone);
    this.#time.after(this.#network.latencyMs(), () => this.#closeServer());
  }

  /** The server's process died: it is told nothing more. */
  die(): void {
    this.#serverDone = true;
    this.#forget();
    this.#time.after(this.#network.latencyMs(), () => this.#close(gone));
  }

  #write(framed: Uint8Array): boolean {
    const bytes = Buffer.from(framed.subarray(prefixBytes));
    this.#events.written?.(bytes);
    this.#queue(this.#toClient, () => {
      if (!this.#clientDone) this.#events.message(bytes);
    });
    const blockedMs = this.#network.blockedMs();
    if (blockedMs === 0) return true;
    this.#time.after(blockedMs, () => {
      if (!this.#serverDone) this.#handler?.drain();
    });
    return false;
  }

  #end(ended: Status): void {
    this.#queue(this.#toClient, () => this.#close(ended));
    this.#closeServer();
  }

  #close(ended: Status): void {
    if (this.#clientDone) return;
    this.#clientDone = true;
    this.#events.closed(ended);
  }

  #closeServer(): void {
    if (this.#serverDone) return;
    this.#serverDone = true;
    this.#forget();
    this.#handler?.closed();
  }

  #queue(queue: (() => void)[], deliver: () => void): void {
    queue.push(deliver);
    this.#time.after(this.#network.latencyMs(), () => queue.shift()?.());
  }
}
