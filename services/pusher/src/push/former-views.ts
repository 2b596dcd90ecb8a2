import { sleep, type Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { Scopes } from '../view/scopes.ts';
import type { TypeView } from '../view/type-view.ts';

export interface FormerOptions {
  readonly scopes: Pick<Scopes, 'formerViews'>;
  readonly time: Time;
  readonly coldAfterMs: number;
  readonly logger: Logger;
}

/**
 * Clusters that clients of the scope may hold, and their assignments. A blob store that does not
 * answer, or fails, must not keep proxies waiting.
 */
export async function formerViews(
  scope: string,
  { scopes, time, coldAfterMs, logger }: FormerOptions,
): Promise<readonly TypeView[]> {
  const answered = new AbortController();
  const late = sleep(time, coldAfterMs, answered.signal).then(
    () => [],
    () => [],
  );
  try {
    return await Promise.race([scopes.formerViews(scope), late]);
  } catch (error) {
    logger.warn('what a scope had before cannot be read', { scope, error });
    return [];
  } finally {
    answered.abort();
  }
}
