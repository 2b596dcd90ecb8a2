/** The log that the simulation runs on is a log: it passes what the real ones pass. */
import { describeLogConformance, type LogHarness } from '../../libs/log/test/conformance.ts';
import { realTime } from '../../libs/log/test/support.ts';
import { perfectNetwork, SimLog, type LogNetwork } from './log/log.ts';
import { SimStore } from './log/store.ts';
import { Random } from './random.ts';

const tombstoneMs = 3_600_000;
const keptMs = 3_600_000;
const maxRecordBytes = 256 * 1024;

function harness(network: LogNetwork): LogHarness {
  let store = new SimStore();
  let aheadMs = 0;
  const time = { ...realTime, now: () => Date.now() + aheadMs };
  const compact = async (topic: string, index: number): Promise<void> => {
    const partition = store.partition(topic, index);
    partition.compact(partition.next, time.now());
  };
  return {
    tombstoneMs,
    keptMs,
    maxRecordBytes,
    open: async () => new SimLog({ store, time, network, maxRecordBytes }),
    compact: (_log, topic, index) => compact(topic, index),
    expireTombstones: (_log, topic, index) => {
      aheadMs += tombstoneMs + 1;
      return compact(topic, index);
    },
    expireRecords: (_log, topic, index) => {
      aheadMs += keptMs + 1;
      return compact(topic, index);
    },
    deleteTopic: async (log) => {
      await log.close();
      store = new SimStore('another');
    },
    stop: async () => undefined,
  };
}

describeLogConformance('simulated', async () => harness(perfectNetwork));

const random = new Random(1);
const slow: LogNetwork = {
  ...perfectNetwork,
  latencyMs: () => random.below(3),
  maxRecords: () => 1 + random.below(20),
};
describeLogConformance('simulated, over a network that takes its time', async () => harness(slow));
