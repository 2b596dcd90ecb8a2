import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { directReader, readerOf } from '../../src/server/socket-reader.ts';

const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Both ends of some connections; the server's have not been read yet. */
async function pairs(count: number): Promise<readonly { client: Socket; served: Socket }[]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const all: { client: Socket; served: Socket }[] = [];
  for (let at = 0; at < count; at++) {
    const accepted = once(server, 'connection');
    const client = connect(port, '127.0.0.1');
    const [served] = (await accepted) as [Socket];
    ends.push(
      () => void client.destroy(),
      () => void served.destroy(),
    );
    all.push({ client, served });
  }
  return all;
}

it('this node reads accepted sockets into one buffer, past the stream', async () => {
  const [pair] = await pairs(1);
  expect(pair && directReader(pair.served, { received: () => undefined })).toBeDefined();
});

it('what several clients send comes whole, in parts of any size, and so does their end', async () => {
  const sent = [1, 8_191, 8_192, 8_193, 100_000, 1_000_000].map((size, at) =>
    Buffer.alloc(size, `of client ${at}, `),
  );
  const ended: Promise<unknown>[] = [];
  const come: Buffer[][] = [];
  for (const [at, { client, served }] of (await pairs(sent.length)).entries()) {
    const parts: Buffer[] = [];
    come.push(parts);
    readerOf(served, { received: (bytes) => void parts.push(Buffer.from(bytes)) });
    ended.push(once(served, 'end'));
    client.end(sent[at] ?? '');
  }
  await Promise.all(ended);
  for (const [at, parts] of come.entries()) {
    expect(Buffer.concat(parts).equals(sent[at] ?? Buffer.alloc(0))).toBe(true);
  }
});

it('a client that has to wait is read no further, and goes on where it stopped', async () => {
  const [pair] = await pairs(1);
  if (pair === undefined) throw new Error('no connection');
  const { client, served } = pair;
  let come = 0;
  let more: () => void = () => undefined;
  const reader = readerOf(served, {
    received: (bytes) => {
      come += bytes.length;
      if (come <= 8 * 1024) reader.read(false);
      more();
    },
  });
  const first = new Promise<void>((resolve) => (more = resolve));
  client.write(Buffer.alloc(500_000));
  await first;
  await sleep(50);
  expect(come).toBeLessThanOrEqual(8 * 1024);
  const whole = new Promise<void>((resolve) => {
    more = () => {
      if (come === 500_000) resolve();
    };
  });
  reader.read(true);
  await whole;
  expect(come).toBe(500_000);
});

it('a client that is gone ends the socket, and who is still told to read is not hurt', async () => {
  const [pair] = await pairs(1);
  if (pair === undefined) throw new Error('no connection');
  const { client, served } = pair;
  served.on('error', () => undefined);
  const reader = readerOf(served, { received: () => undefined });
  const closed = new Promise((resolve) => served.on('close', resolve));
  client.resetAndDestroy();
  await closed;
  reader.read(false);
  reader.read(true);
  expect(served.destroyed).toBe(true);
});
