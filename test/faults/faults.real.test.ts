/** The few faults that everybody's tests have; `npm run faults -- --all` has the others. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testProgress } from '../components/cache.ts';
import { Bed } from './bed.ts';
import { someFaults } from './faults.ts';
import { runFaults } from './run.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({ seed: 1, progress: testProgress, brokers: 1 });
});

afterAll(async () => {
  await bed?.stop();
});

test.each(someFaults)('$name: nothing is lost, comes back or fails', async (fault) => {
  const { problems, requests, written } = await runFaults(bed, [fault]);
  expect(problems).toEqual([]);
  expect(requests).toBeGreaterThan(100);
  expect(written).toBeGreaterThan(0);
});
