/** A translator as users start it: what it shows of a password. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';

const main = join(import.meta.dirname, '..', 'src', 'main.ts');

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

test('a password in the URL of Redis is in no line of the log and on no page', async () => {
  const redis = createServer((socket) => {
    socket.on('error', () => {});
    // To each command: to AUTH as well as to those that ask what it can, several at a time.
    socket.on('data', (chunk) => {
      for (const _ of String(chunk).matchAll(/^\*\d+\r$/gmu)) {
        socket.write('-WRONGPASS invalid username-password pair\r\n');
      }
    });
  });
  const port = await listen(redis);
  const taken = createServer();
  const monitoring = await listen(taken);
  taken.close();
  const environment = { WATERSHED_REDIS_URL: `redis://me:hunter2@127.0.0.1:${port}` };
  const addresses = [
    '--kafkaBrokers',
    '127.0.0.1:1',
    '--monitoringAddr',
    `127.0.0.1:${monitoring}`,
  ];
  const child = spawn(process.execPath, [main, ...addresses, '--log_output_level', 'debug'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', ...environment },
  });
  const ended = once(child, 'close');
  let output = '';
  const hear = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const read = async (path: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${monitoring}${path}`);
    return response.text();
  };
  try {
    const isAway = /Redis is away for \d+ s \(WRONGPASS/u;
    await vi.waitFor(async () => expect(await read('/ready')).toMatch(isAway), 30_000);
    const index = await read('/debug');
    const pages = [...index.matchAll(/^\S+/gmu)].map(([path]) => path);
    expect(pages.length).toBeGreaterThan(0);
    for (const path of ['/', '/ready', '/metrics', ...pages]) output += await read(path);
  } finally {
    child.kill('SIGTERM');
    await ended;
    redis.close();
  }
  expect(output).toContain('Redis is away');
  expect(output).not.toContain('hunter2');
});
