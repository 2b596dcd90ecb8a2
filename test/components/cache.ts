import { cacheDirectory, type Progress } from 'xdsctl/components/cache.ts';

/** Where the suite keeps what it fetches; CI may keep this directory between runs. */
export const testCache = cacheDirectory(process.env);

/** Says on standard error what a test waits for: a first run fetches programs. */
export const testProgress: Progress = (line) => {
  process.stderr.write(`[components] ${line}\n`);
};
