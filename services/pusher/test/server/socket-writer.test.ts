import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { handleOf } from '../../src/server/node-socket.ts';
import {
  directWay,
  wayByStream,
  type WayOut,
  type WrittenSocket,
} from '../../src/server/socket-writer.ts';

const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Both ends of a connection; the client has not begun to read. */
async function pair(): Promise<{ client: Socket; served: Socket }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection');
  const client = connect(port, '127.0.0.1');
  const [served] = (await accepted) as [Socket];
  served.on('error', () => undefined);
  client.on('error', () => undefined);
  ends.push(
    () => void client.destroy(),
    () => void served.destroy(),
    () => void server.close(),
  );
  return { client, served };
}

function written(socket: Socket, drained: () => void = () => undefined): WrittenSocket {
  return { socket, handle: handleOf(socket), unsent: 0, drained };
}

async function readAll(client: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of client) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** Of all sizes, each recognisable. */
function someParts(): readonly Buffer[] {
  return [1, 9, 1_000, 16_384, 65_536, 300_000].map((size) => Buffer.alloc(size, `${size}, `));
}

it('this node has a way past the stream', async () => {
  const { served } = await pair();
  expect(directWay(written(served))).toBeDefined();
});

const ways: Readonly<Record<string, (to: WrittenSocket) => WayOut | undefined>> = {
  'past the stream': directWay,
  'by the stream': wayByStream,
};

describe.each(Object.entries(ways))('%s', (_name, wayTo) => {
  function writerOf(socket: Socket, drained?: () => void) {
    const to = written(socket, drained);
    const way = wayTo(to);
    if (way === undefined) throw new Error('no way out');
    return {
      write: (bytes: Uint8Array) => way.write(to, bytes),
      writeAll: (parts: readonly Uint8Array[]) => way.writeAll(to, parts),
      get isFull() {
        return to.unsent > 0;
      },
    };
  }

  it('all comes whole and in order, and who has to wait is told when it went', async () => {
    const { client, served } = await pair();
    let more: () => void = () => undefined;
    const writer = writerOf(served, () => more());
    const written: Buffer[] = [];
    const read = readAll(client);
    let waits = 0;
    for (let round = 0; round < 60; round++) {
      const parts = someParts();
      written.push(...parts);
      for (const part of parts.slice(0, 3)) writer.write(part);
      writer.writeAll(parts.slice(3));
      if (!writer.isFull) continue;
      waits++;
      await new Promise<void>((resolve) => (more = resolve));
      expect(writer.isFull).toBe(false);
    }
    served.end();
    expect((await read).equals(Buffer.concat(written))).toBe(true);
    expect(waits).toBeGreaterThan(0);
  });

  it('what waits when the socket is ended goes out, and what comes later does not', async () => {
    const { client, served } = await pair();
    const writer = writerOf(served);
    const large = Buffer.alloc(32_000_000, 'large ');
    writer.write(large);
    expect(writer.isFull).toBe(true);
    writer.write(Buffer.from('behind it'));
    served.end();
    writer.write(Buffer.from('too late'));
    const all = await readAll(client);
    expect(all.length).toBe(large.length + 'behind it'.length);
    expect(all.subarray(large.length).toString()).toBe('behind it');
  });

  it('a client that is gone ends the socket, and who still writes to it is not hurt', async () => {
    const { client, served } = await pair();
    const writer = writerOf(served);
    const closed = new Promise((resolve) => served.on('close', resolve));
    writer.write(Buffer.alloc(32_000_000));
    client.resetAndDestroy();
    await closed;
    writer.write(Buffer.from('x'));
    writer.writeAll([Buffer.from('y'), Buffer.from('z')]);
    expect(served.destroyed).toBe(true);
  });
});
