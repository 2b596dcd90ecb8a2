import { program } from 'xdsctl/program.ts';
import { testCache, testProgress } from '../../components/cache.ts';

/** What `xdsctl` prints; it runs in this process. */
export async function xdsctl(...args: readonly string[]): Promise<string> {
  const printed: string[] = [];
  const print = (text: string): void => void printed.push(text);
  await program({ print, progress: testProgress, cache: testCache, environment: {} }).parseAsync(
    args,
    {
      from: 'user',
    },
  );
  return printed.join('\n');
}
