import { appendFile, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

/**
 * Below the range from which systems take ports for connections and for listeners of port 0, so
 * that nobody is given one of these before it is listened on.
 */
const first = 18_000;
const last = 32_000;

const given = new Set<number>();

/** By the name of what listens there. */
export type PortOf = (name: string) => Promise<number>;

/**
 * The ports in a file, a line each, of which the last one counts. It takes those that it has not;
 * one on which somebody else listens now is given up for another.
 */
export async function keptPorts(file: string): Promise<PortOf> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const lines = text.matchAll(/^(\d+) (.+)$/gmu);
  const kept = new Map([...lines].map(([, port, name = '']) => [name, Number(port)]));
  for (const port of kept.values()) given.add(port);
  return async (name) => {
    const before = kept.get(name);
    if (before !== undefined && (await isFree(before))) return before;
    const port = await freePort();
    kept.set(name, port);
    await appendFile(file, `${port} ${name}\n`);
    return port;
  };
}

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
