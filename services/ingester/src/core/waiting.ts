/** What waits to be written: the newest value of each key, in the order in which it goes. */
import { topics } from '@watershed/model/keys.ts';
import type { PublishedEvent } from './ingest.ts';
import { eventId } from './outbox.ts';

type Turn = 0 | 1 | 2 | 3;

/**
 * What a restart is to know of objects is on the log first. Endpoints are there before the
 * configuration that may name their service, and go after it: whoever has read the configuration
 * can know that there are some to be read.
 */
export function turnOf({ topic, value }: Pick<PublishedEvent, 'topic' | 'value'>): Turn {
  if (topic === topics.objects) return 0;
  if (topic === topics.config) return 2;
  return value === undefined ? 3 : 1;
}

export class Waiting<T extends PublishedEvent> {
  /** By turn, then by key. */
  readonly #turns = Array.from({ length: 4 }, () => new Map<string, T>());

  get size(): number {
    return this.#turns.reduce((sum, { size }) => sum + size, 0);
  }

  /** Replaces what waits of the same key, if any. */
  put(event: T): void {
    const id = eventId(event.topic, event.key);
    for (const [turn, events] of this.#turns.entries()) {
      if (turn === turnOf(event)) events.set(id, event);
      else events.delete(id);
    }
  }

  has({ topic, key }: T): boolean {
    return this.#turns.some((events) => events.has(eventId(topic, key)));
  }

  /** One after the other; what was given waits no more. */
  *take(): Iterable<T> {
    for (const events of this.#turns) {
      for (const [id, event] of events) {
        events.delete(id);
        yield event;
      }
    }
  }
}
