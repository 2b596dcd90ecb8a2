import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';

export interface Sleeper {
  /** Where `Alarms` has it; `undefined`: nowhere. Nobody else writes it. */
  alarmTick: number | undefined;
  ring(nowMs: number): void;
}

/** How late an alarm may ring. */
const tickMs = 50;

/**
 * Wakes streams that have something to do if nothing happens until then. After a push all of them
 * wait for an ACK, thousands at once, and nearly all get it: so there is one timer for all, and an
 * alarm that turns out to be too early is not put off before it rings.
 */
export class Alarms {
  readonly #time: Pick<Clock, 'monotonic'> & Timers;
  readonly #sleepers = new Map<number, Set<Sleeper>>();
  #timer: Timer | undefined;
  #timerTick = Number.POSITIVE_INFINITY;
  /** The last. */
  #rungTick = Number.NEGATIVE_INFINITY;

  constructor(time: Pick<Clock, 'monotonic'> & Timers) {
    this.#time = time;
  }

  /** Rings at that time or earlier: whoever is woken too early asks again. `Infinity`: never. */
  set(sleeper: Sleeper, atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY) return;
    // One that is overdue when it has just been rung must not ring for ever.
    const tick = Math.max(Math.ceil(atMs / tickMs), this.#rungTick + 1);
    if (sleeper.alarmTick !== undefined && tick >= sleeper.alarmTick) return;
    this.cancel(sleeper);
    sleeper.alarmTick = tick;
    const together = this.#sleepers.get(tick);
    if (together === undefined) this.#sleepers.set(tick, new Set([sleeper]));
    else together.add(sleeper);
    this.#arm(tick);
  }

  cancel(sleeper: Sleeper): void {
    if (sleeper.alarmTick === undefined) return;
    this.#sleepers.get(sleeper.alarmTick)?.delete(sleeper);
    sleeper.alarmTick = undefined;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timerTick = Number.POSITIVE_INFINITY;
    this.#sleepers.clear();
  }

  #arm(tick: number): void {
    if (tick >= this.#timerTick) return;
    this.#timer?.cancel();
    this.#timerTick = tick;
    const delayMs = tick * tickMs - this.#time.monotonic();
    this.#timer = this.#time.after(Math.max(0, delayMs), () => this.#ring());
  }

  #ring(): void {
    this.#timerTick = Number.POSITIVE_INFINITY;
    const nowMs = this.#time.monotonic();
    this.#rungTick = Math.floor(nowMs / tickMs);
    const due = [...this.#sleepers].filter(([tick]) => tick * tickMs <= nowMs);
    for (const [tick] of due) this.#sleepers.delete(tick);
    for (const [, together] of due) {
      for (const sleeper of together) {
        sleeper.alarmTick = undefined;
        sleeper.ring(nowMs);
      }
    }
    let next = Number.POSITIVE_INFINITY;
    for (const tick of this.#sleepers.keys()) next = Math.min(next, tick);
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
