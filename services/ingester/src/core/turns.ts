import { topics } from '@watershed/model/keys.ts';

interface Ordered {
  readonly topic: string;
  readonly key: string;
  /** `undefined`: a tombstone. */
  readonly value: Uint8Array | undefined;
}

/** How many there are. */
export const turns = 7;

/**
 * In which order records go to the log, however many writes it takes. What a restart is to know of
 * objects is there first. Endpoints are there before the configuration that may name their service,
 * and go after it: whoever has read the configuration can know that there are some to be read. Of
 * configuration, what routes lead to comes before them, and goes after them.
 */
export function turnOf({ topic, key, value }: Ordered): number {
  if (topic === topics.objects) return 0;
  if (topic === topics.endpoints) return value === undefined ? 6 : 1;
  const isRoute = key.split('|', 2)[1] === 'route';
  if (value === undefined) return isRoute ? 4 : 5;
  return isRoute ? 3 : 2;
}
