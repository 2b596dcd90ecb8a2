import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { systemTime } from '@watershed/runtime/clock.ts';
import { expect, it } from 'vitest';
import { FirstBlocks } from '../../src/server/h2/hpack-decoder.ts';
import { greetingOf } from '../../src/server/h2/settings.ts';
import { SharedFrames } from '../../src/server/h2/shared-frames.ts';
import { NetSocket } from '../../src/server/net-socket.ts';
import { flags, frame, frames, grpcHeaders, setting, uint32 } from '../support/raw-http2.ts';
import { limits } from './h2/support.ts';

const wide = 1 << 24;
const hello = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(frames.settings, 0, 0, setting(4, wide)),
  frame(frames.windowUpdate, 0, 0, uint32(wide)),
  frame(frames.headers, flags.endHeaders, 1, grpcHeaders('/a.B/C')),
]);

/** How much of the body of a stream comes when `size` bytes are written, and nothing else happens. */
async function arrived(size: number): Promise<number> {
  const open: NetSocket[] = [];
  const server = createServer((socket) => {
    const served = new NetSocket(socket, {
      limits,
      shared: {
        frames: new SharedFrames(),
        firstBlocks: new FirstBlocks(),
        greeting: greetingOf(limits),
      },
      now: () => performance.now(),
      timers: systemTime,
      closed: () => undefined,
      request: (_, stream) => void stream.write(Buffer.alloc(size, 'x')),
    });
    open.push(served);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.write(hello);
  try {
    return await bodyOf(client, size);
  } finally {
    client.destroy();
    server.close();
  }
}

async function bodyOf(client: Socket, size: number): Promise<number> {
  let bytes = Buffer.alloc(0);
  let body = 0;
  for await (const part of client) {
    bytes = Buffer.concat([bytes, part as Buffer]);
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes[3] === frames.data) body += length;
      bytes = bytes.subarray(9 + length);
    }
    if (body >= size) return body;
  }
  return body;
}

it.each([100_000, 131_072, 140_000, 200_000, 262_145, 340_000, 3_000_000])(
  'a body of %i bytes goes out to its end, though the client says nothing',
  async (size) => {
    expect(await arrived(size)).toBe(size);
  },
);
