import { startRedis, type Redis } from 'xdsctl/components/redis.ts';
import { testCache, testProgress } from './cache.ts';

/** A real Redis, fetched into the suite's cache. */
export function startTestRedis(args: readonly string[] = []): Promise<Redis> {
  return startRedis({ args, cache: testCache, progress: testProgress });
}

export type TestRedis = Redis;
