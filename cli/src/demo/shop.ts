/** The sample shop of examples/, in a directory of its own, with a backend on each of its ports. */
import { cp, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBackend, type Backend } from '../components/backend.ts';

const sample = fileURLToPath(new URL('../../../examples/shop', import.meta.url));

/** As examples/README.md has them. */
const services = [
  { name: 'web', port: 9101 },
  { name: 'cart', port: 9102 },
  { name: 'catalog-v1', port: 9103 },
  { name: 'catalog-v2', port: 9104 },
  { name: 'payment', port: 9105 },
  { name: 'orders', port: 9106 },
] as const;
const samplePort = 8080;

export interface Shop {
  readonly configDir: string;
  /** Of the gateway. */
  readonly port: number;
  readonly backends: readonly Backend[];
}

/** Ports that are in use are replaced, in the copy, by ones that are free. */
export async function openShop(directory: string): Promise<Shop> {
  const configDir = join(directory, 'config');
  await mkdir(configDir, { recursive: true });
  await cp(sample, configDir, { recursive: true });
  const moved = new Map<number, number>();
  const backends: Backend[] = [];
  for (const { name, port } of services) {
    const free = await freePort(port);
    backends.push(await startBackend({ name, port: free }));
    if (free !== port) moved.set(port, free);
  }
  const port = await freePort(samplePort);
  if (port !== samplePort) moved.set(samplePort, port);
  for (const file of moved.size > 0 ? await readdir(configDir) : []) {
    await edit(join(configDir, file), (text) =>
      text.replaceAll(/\b\d{4}\b/gu, (number) => String(moved.get(Number(number)) ?? number)),
    );
  }
  return { configDir, port, backends };
}

/** Swaps 90 and 10 in the file that a user would edit. Returns its name. */
export async function swapWeights({ configDir }: Shop): Promise<string> {
  const file = 'canary.yaml';
  await edit(join(configDir, file), (text) =>
    text.replaceAll(/weight: (90|10)$/gmu, (_line, weight) =>
      weight === '90' ? 'weight: 10' : 'weight: 90',
    ),
  );
  return file;
}

/** Written aside and renamed, so that nobody reads half of it. */
async function edit(path: string, change: (text: string) => string): Promise<void> {
  await writeFile(`${path}.tmp`, change(await readFile(path, 'utf8')));
  await rename(`${path}.tmp`, path);
}

/** The wished port, or one that the system picks if something listens there. */
async function freePort(wished: number): Promise<number> {
  const port = await probe(wished);
  return port ?? (await probe(0)) ?? 0;
}

function probe(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(undefined));
    // All addresses: the gateway listens there, and whoever has one of them is in its way.
    server.listen(port, () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : undefined);
      });
    });
  });
}
