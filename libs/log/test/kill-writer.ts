/**
 * Writes until it is killed, and says (one JSON line each) what was acknowledged. Arguments: the
 * directory and the number of this life. Run by `embedded-kill.real.test.ts`.
 */
import { writeSync } from 'node:fs';
import { openEmbeddedLog } from '../src/embedded.ts';
import { OwnedPartition } from '../src/owned.ts';
import { bytes, realTime, seeded } from './support.ts';

const [dir = '', life = ''] = process.argv.slice(2);
const random = seeded(Number(life) + 1);
let sequence = Number(life) * 1_000_000;

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

const log = await openEmbeddedLog({
  dir,
  time: realTime,
  compactEveryMs: 15,
  compactAfterRecords: 50,
});
await log.ensureTopics([
  { name: 'calls', partitions: 2, retention: { kind: 'time', ms: 3_600_000 } },
  { name: 'keyed', partitions: 1, retention: { kind: 'compact', tombstoneMs: 20 } },
]);
const owner = await OwnedPartition.open({
  log,
  topic: 'keyed',
  partition: 0,
  writer: life,
  time: realTime,
});
say({ epoch: owner.epoch });

/** A call of several records over two partitions: all of it, or nothing, must be there. */
async function appendCalls(): Promise<never> {
  for (;;) {
    const call = `${life}-${sequence++}`;
    const records = Array.from({ length: 1 + random(6) }, (_, index) => ({
      topic: 'calls',
      partition: random(2),
      key: `${call}/${index}`,
      value: bytes(`${call}:`.repeat(1 + random(400))),
    }));
    say({ call, count: records.length });
    const offsets = await log.append(records);
    say({ done: call, at: records.map(({ partition }, i) => [partition, offsets[i]]) });
  }
}

async function setKeys(): Promise<never> {
  for (;;) {
    const key = `k${random(20)}`;
    const number = sequence++;
    const gone = random(5) === 0;
    say({ key, number, gone });
    if (gone) await owner.delete(key);
    else await owner.set(key, bytes(String(number)));
    say({ set: key, number });
  }
}

await Promise.all([appendCalls(), appendCalls(), appendCalls(), setKeys(), setKeys()]);
