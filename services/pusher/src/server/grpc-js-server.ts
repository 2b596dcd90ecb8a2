import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { parseAddress } from '@watershed/runtime/address.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import { limitsOf } from './grpc-call.ts';
import {
  defaultServerLimits,
  status,
  tooLarge,
  type CallHandler,
  type Method,
  type Peer,
  type RpcServer,
  type RpcServerOptions,
  type ServerCall,
  type ServerLimits,
  type Status,
  type TlsOptions,
} from './port.ts';
import { uriNames } from './peer-names.ts';

type Duplex = ServerDuplexStream<Uint8Array, Uint8Array>;

const prefixBytes = 5;

/**
 * gRPC by the reference library for Node: slower, and what to compare with when in doubt. It takes
 * compressed requests; of responses its servers write the flag "not compressed" themselves.
 */
export class GrpcJsServer implements RpcServer {
  readonly #server: Server;
  readonly #credentials: ServerCredentials;
  readonly connections = 0;

  constructor(options: RpcServerOptions) {
    const limits = { ...defaultServerLimits, ...options.limits };
    this.#server = new Server({
      'grpc.max_receive_message_length': limits.maxMessageBytes,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': limits.maxStreamsPerConnection,
      'grpc.max_metadata_size': limits.maxHeaderBytes,
      'grpc.keepalive_time_ms': limits.idleMs,
      'grpc.keepalive_timeout_ms': limits.probeMs,
      // Without it the library does not know its connections, and so cannot cut them.
      'grpc.enable_channelz': 1,
    });
    this.#credentials = credentialsOf(options.tls);
    for (const method of options.methods) {
      const secure = options.tls !== undefined;
      const context = { secure, limits: limitsOf(limits, method) };
      // Unary methods too: on the wire they are streams of one message.
      this.#server.addService(definitionOf(method.path), {
        call: (duplex: Duplex) => serve(duplex, method, context),
      });
    }
  }

  listen(host: string, port: number): Promise<number> {
    const target = `${host.includes(':') ? `[${host}]` : host === '' ? '[::]' : host}:${port}`;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(target, this.#credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else {
          const problem = `cannot listen on ${target}`;
          reject(new OperatingError('unavailable', problem, { cause: error }));
        }
      });
    });
  }

  /** The library reads them once: a new certificate needs a restart. */
  setTls(): void {
    return undefined;
  }

  stop(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cut = (): void => this.#server.forceShutdown();
      this.#server.tryShutdown(() => {
        signal.removeEventListener('abort', cut);
        resolve();
      });
      if (signal.aborted) cut();
      else signal.addEventListener('abort', cut, { once: true });
    });
  }
}

function credentialsOf(tls: TlsOptions | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const ca = tls.clientCa === undefined ? null : Buffer.from(tls.clientCa);
  return ServerCredentials.createSsl(ca, [
    { private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) },
  ]);
}

function definitionOf(path: string): ServiceDefinition {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    call: {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  };
}

interface CallContext {
  /** The listener speaks TLS. */
  readonly secure: boolean;
  /** Of the method. The library has received a message before it can be told that it is too large. */
  readonly limits: ServerLimits;
}

function serve(duplex: Duplex, method: Method, context: CallContext): void {
  const call = new GrpcJsCall(duplex, method.path, context);
  const opened = method.open(call);
  if (!(opened instanceof Promise)) {
    call.start(opened);
    return;
  }
  opened.then(
    (handler) => call.start(handler),
    () => call.end({ code: status.internal, message: 'the call could not be opened' }),
  );
}

/**
 * The library tells of TLS only where a certificate was verified, and not of one that was refused:
 * `secure` is what the listener is.
 */
function peerOf(duplex: Duplex, secure: boolean): Peer {
  const { sslPeerCertificate } = duplex.getAuthContext();
  const from = parseAddress(duplex.getPeer());
  return {
    address: from?.host ?? '',
    port: from?.port ?? 0,
    secure,
    identities: uriNames(sslPeerCertificate?.subjectaltname ?? ''),
    certificateProblem: '',
  };
}

class GrpcJsCall implements ServerCall {
  readonly path: string;
  readonly peer: Peer;
  readonly #duplex: Duplex;
  readonly #limits: ServerLimits;
  #handler: CallHandler | undefined;
  #ended = false;

  constructor(duplex: Duplex, path: string, { secure, limits }: CallContext) {
    this.#duplex = duplex;
    this.#limits = limits;
    this.path = path;
    this.peer = peerOf(duplex, secure);
    // It may be over before it is known who calls.
    duplex.on('cancelled', () => this.#release());
    duplex.on('close', () => this.#release());
    duplex.on('error', () => this.#release());
  }

  start(handler: CallHandler): void {
    if (this.#ended) return handler.closed();
    this.#handler = handler;
    const duplex = this.#duplex;
    duplex.on('data', (bytes: Uint8Array) => this.#message(bytes));
    duplex.on('end', () => this.#handler?.halfClosed());
    duplex.sendMetadata(new Metadata());
    return undefined;
  }

  #message(bytes: Uint8Array): void {
    const problem = tooLarge(bytes.length, this.#limits);
    if (problem === undefined) this.#handler?.message(bytes);
    else this.end(problem);
  }

  header(name: string): string | undefined {
    const values = this.#duplex.metadata.get(name);
    return values.length === 0 ? undefined : values.map(String).join(', ');
  }

  get isReady(): boolean {
    return !this.#ended && this.#duplex.writableLength === 0;
  }

  /** The library would queue sixteen messages before it says no; one that has not left is enough. */
  write(framed: Uint8Array): boolean {
    if (this.#ended) return true;
    let left = false;
    let returned = false;
    const { buffer, byteOffset, length } = framed;
    // It takes nothing but Buffers.
    const message = Buffer.from(buffer, byteOffset + prefixBytes, length - prefixBytes);
    this.#duplex.write(message, () => {
      left = true;
      if (returned) this.#handler?.drain();
    });
    returned = true;
    return left;
  }

  end(ended: Status): void {
    if (this.#ended) return;
    if (ended.code === status.ok) this.#duplex.end();
    else {
      this.#duplex.emit('error', {
        name: '',
        message: '',
        code: ended.code,
        details: ended.message,
      });
    }
    this.#release();
  }

  #release(): void {
    this.#ended = true;
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.closed();
  }
}
