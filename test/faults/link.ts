import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A network between two processes, which can be parted. */
export interface Link {
  readonly port: number;
  /** From now on no byte passes, and nobody is told; who connects is not answered either. */
  cut(): void;
  /** What was under way arrives, late. */
  mend(): void;
  stop(): Promise<void>;
}

/** To a port of loopback. */
export async function startLink(target: number): Promise<Link> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let isCut = false;
  const join = ([a, b]: readonly [Socket, Socket]): void => {
    a.pipe(b);
    b.pipe(a);
  };
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    const pair = [near, far] as const;
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) socket.setNoDelay(true).on('error', end).on('close', end);
    if (!isCut) join(pair);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return {
    port: address.port,
    cut: () => {
      isCut = true;
      for (const pair of pairs) for (const socket of pair) socket.unpipe().pause();
    },
    mend: () => {
      isCut = false;
      for (const pair of pairs) join(pair);
    },
    stop: async () => {
      for (const [near] of pairs) near.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
