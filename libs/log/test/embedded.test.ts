import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedLog } from '../src/embedded.ts';
import type { EmbeddedLog } from '../src/embedded.ts';
import type { Log } from '../src/port.ts';
import { describeLogConformance } from './conformance.ts';
import { realTime } from './support.ts';

const tombstoneMs = 3_600_000;
const keptMs = 3_600_000;

describeLogConformance('embedded', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'watershed-log-'));
  let aheadMs = 0;
  const time = { ...realTime, now: () => Date.now() + aheadMs };
  const logs = new Map<Log, EmbeddedLog>();
  const compact = async (log: Log): Promise<void> => logs.get(log)?.compact();
  return {
    tombstoneMs,
    keptMs,
    maxRecordBytes: 256 * 1024,
    open: async () => {
      const log = await openEmbeddedLog({ dir, time, maxRecordBytes: 256 * 1024 });
      logs.set(log, log);
      return log;
    },
    compact,
    expireTombstones: (log) => {
      aheadMs += tombstoneMs + 1;
      return compact(log);
    },
    expireRecords: (log) => {
      aheadMs += keptMs + 1;
      return compact(log);
    },
    deleteTopic: async (log) => {
      await log.close();
      await rm(dir, { recursive: true });
    },
    stop: () => rm(dir, { recursive: true, force: true }),
  };
});
