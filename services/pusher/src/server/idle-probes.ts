import type { ServerHttp2Session } from 'node:http2';
import type { Timer, Timers } from '@watershed/runtime/clock.ts';

export interface IdleProbesOptions {
  readonly timers: Timers;
  /** A connection of which nothing was read for so long is probed; up to a quarter more. */
  readonly idleMs: number;
  /** For the answer to a probe. */
  readonly probeMs: number;
}

interface State {
  bytesRead: number;
  /** In how many looks in a row nothing had come. */
  quiet: number;
  probe: Timer | undefined;
}

const looks = 4;
/** Of all connections, looked at in a row: a look at each takes a while where there are many. */
const slices = 16;

/**
 * Closes connections whose peer is gone without a word; it would hold its stream for ever. Looks at
 * each now and then: a timer per connection is set anew with everything that is read or written,
 * which made a push and its ACK a twentieth dearer.
 */
export class IdleProbes {
  readonly #options: IdleProbesOptions;
  readonly #sessions = new Map<ServerHttp2Session, State>();
  #next: Iterator<[ServerHttp2Session, State]> | undefined;
  #timer: Timer | undefined;

  constructor(options: IdleProbesOptions) {
    this.#options = options;
  }

  add(session: ServerHttp2Session): void {
    this.#sessions.set(session, { bytesRead: 0, quiet: 0, probe: undefined });
    this.#schedule();
  }

  forget(session: ServerHttp2Session): void {
    this.#sessions.get(session)?.probe?.cancel();
    this.#sessions.delete(session);
    if (this.#sessions.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(): void {
    const { timers, idleMs } = this.#options;
    this.#timer ??= timers.after(idleMs / looks / slices, () => {
      this.#timer = undefined;
      this.#look(Math.ceil(this.#sessions.size / slices));
      if (this.#sessions.size > 0) this.#schedule();
    });
  }

  #look(count: number): void {
    for (let left = count; left > 0; left--) {
      this.#next ??= this.#sessions.entries();
      const next = this.#next.next();
      if (next.done === true) {
        this.#next = undefined;
        return;
      }
      this.#lookAt(...next.value);
    }
  }

  #lookAt(session: ServerHttp2Session, state: State): void {
    if (session.destroyed || state.probe !== undefined) return;
    const { bytesRead } = session.socket;
    state.quiet = bytesRead === state.bytesRead ? state.quiet + 1 : 0;
    state.bytesRead = bytesRead;
    if (state.quiet < looks) return;
    state.quiet = 0;
    const { timers, probeMs } = this.#options;
    state.probe = timers.after(probeMs, () => session.destroy());
    session.ping((error) => {
      state.probe?.cancel();
      state.probe = undefined;
      if (error !== null) session.destroy();
    });
  }
}
