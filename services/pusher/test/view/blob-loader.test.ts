import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { BlobsAwayError, type Digest } from '@watershed/blob/port.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { BlobLoader } from '../../src/view/blob-loader.ts';

function bed() {
  const time = new VirtualTime();
  const blobs = memoryBlobs();
  const asked: Digest[][] = [];
  /** Of the store, in order: what it refused, and that it did not. */
  const told: string[] = [];
  const loader = new BlobLoader({
    blobs,
    timers: time,
    tracing: noTracing,
    onMissing: (digests) => asked.push([...digests]),
    outage: { failed: (error) => told.push(String(error)), worked: () => told.push('worked') },
  });
  const blob = (text: string) => {
    const bytes = new TextEncoder().encode(text);
    return { digest: digestOf(bytes), bytes };
  };
  const waiter = { isWaiting: true, told: 0 };
  const fetch = (digest: Digest) =>
    loader.fetch(digest, {
      loaded: () => void (waiter.told += 1),
      waits: () => waiter.isWaiting,
    });
  return { time, blobs, asked, told, loader, blob, waiter, fetch };
}

it('asks for what is missing until it is there', async () => {
  const { time, blobs, asked, loader, blob, waiter, fetch } = bed();
  const one = blob('one');
  expect(fetch(one.digest)).toBeUndefined();
  await time.advance(1_000);
  expect(asked.length).toBeGreaterThan(1);
  await blobs.put([one]);
  await time.advance(5_000);
  expect(waiter.told).toBe(1);
  expect(loader.pending).toBe(0);
});

it('asks no more for what nobody waits for any more', async () => {
  const { time, asked, loader, blob, waiter, fetch } = bed();
  fetch(blob('one').digest);
  await time.advance(10);
  waiter.isWaiting = false;
  await time.advance(20_000);
  expect(asked).toHaveLength(1);
  expect(loader.pending).toBe(0);
});

it('asks for what is missing in its time, however much else is fetched meanwhile', async () => {
  const { time, blobs, asked, loader, blob, fetch } = bed();
  const lost = blob('lost');
  fetch(lost.digest);
  for (let at = 0; at < 100; at++) {
    const there = blob(`there ${at}`);
    await blobs.put([there]);
    fetch(there.digest);
    await time.advance(10);
  }
  // After 0, 250 and 750 ms.
  expect(asked).toEqual([[lost.digest], [lost.digest], [lost.digest]]);
  expect(loader.pending).toBe(1);
});

it('says that the store refuses, and not that it is away, which others say', async () => {
  const { time, blobs, told, loader, blob, fetch } = bed();
  const failures = [new BlobsAwayError('no answer'), new Error('MISCONF')];
  const get = blobs.get.bind(blobs);
  blobs.get = async (digests) => {
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return get(digests);
  };
  const one = blob('one');
  await blobs.put([one]);
  fetch(one.digest);
  await time.advance(5_000);
  expect(loader.pending).toBe(0);
  expect(told).toEqual(['Error: MISCONF', 'worked']);
});
