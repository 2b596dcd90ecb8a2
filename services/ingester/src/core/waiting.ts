/** What waits to be written: the newest value of each key, in the order in which it goes. */
import type { PublishedEvent } from './ingest.ts';
import { eventId } from './outbox.ts';
import { turnOf, turns } from './turns.ts';

export class Waiting<T extends PublishedEvent> {
  /** By turn, then by key. */
  readonly #turns = Array.from({ length: turns }, () => new Map<string, T>());

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
