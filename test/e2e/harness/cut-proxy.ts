import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Bytes are passed on both ways, until it is told what to wait for. */
export interface CutProxy {
  readonly port: number;
  /** How many connections it cut. */
  readonly cuts: number;
  /**
   * When the control plane has sent this text, the connection is cut at the client's next word: the
   * client has what the text was in, and nothing of what it asks for next. `shut`: it cannot come
   * back before `open`.
   */
  arm(text: string, how?: 'shut'): void;
  open(): void;
  stop(): Promise<void>;
}

/** Between a proxy and the control plane's plaintext port. */
export async function startCutProxy(target: {
  readonly host: string;
  readonly port: number;
}): Promise<CutProxy> {
  const sockets = new Set<Socket>();
  let awaited: string | undefined;
  let shuts = false;
  let isShut = false;
  let cuts = 0;
  const server = createServer((client) => {
    if (isShut) {
      client.destroy();
      return;
    }
    const upstream = connect(target);
    let seen = false;
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', end).on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    upstream.on('data', (chunk: Buffer) => {
      if (awaited !== undefined && chunk.includes(awaited)) seen = true;
      client.write(chunk);
    });
    client.on('data', (chunk: Buffer) => {
      if (!seen) {
        upstream.write(chunk);
        return;
      }
      awaited = undefined;
      isShut = shuts;
      cuts += 1;
      end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return {
    port: address.port,
    get cuts() {
      return cuts;
    },
    arm: (text, how) => {
      awaited = text;
      shuts = how === 'shut';
    },
    open: () => {
      isShut = false;
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
