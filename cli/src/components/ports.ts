import { createServer } from 'node:net';

/**
 * Below the range from which systems take ports for connections and for listeners of port 0, so
 * that nobody is given one of these before it is listened on.
 */
const first = 18_000;
const last = 32_000;

const given = new Set<number>();

/**
 * A TCP port of loopback that nothing listens on, never the same twice. Only for listeners that
 * configuration must name before they exist.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
