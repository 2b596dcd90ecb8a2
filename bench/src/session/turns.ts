import { resourceTypes } from '@watershed/proto/any.ts';
import type { Mode, Request } from '@watershed/pusher/session/request.ts';
import { Session } from '@watershed/pusher/session/session.ts';
import { NameList, noNames } from '@watershed/pusher/session/subscription.ts';
import { namesTo, Scope } from './views.ts';

const sessions = 1_000;
/** Changes of a round, each a turn of every session. */
const changes = 50;
const nowMs = 1_000;

export interface TurnRow {
  readonly turn: string;
  /** Thousands, by round. */
  readonly perSecond: number[];
}

export function turns(mode: Mode, rounds: number): TurnRow[] {
  const names = namesTo(100);
  const scope = new Scope(names);
  const list = new NameList(names);
  const all = Array.from({ length: sessions }, () => {
    const session = new Session(scope.context, { mode, mayHaveSecrets: false });
    session.setGoal(scope.view);
    settle(session, requestOf(mode, resourceTypes.cluster, { names: noNames }));
    settle(session, requestOf(mode, resourceTypes.endpoint, { names: list }));
    return session;
  });
  const push: TurnRow = { turn: `${mode}: push, then its ACK`, perSecond: [] };
  const stale: TurnRow = {
    turn: `${mode}: an ACK to which there is nothing to say`,
    perSecond: [],
  };
  // The first does not count.
  for (let at = 0; at <= rounds; at++) {
    const pushed = timed(() => {
      for (let change = 0; change < changes; change++) {
        const view = scope.change(resourceTypes.endpoint, names[change] ?? '');
        let request: Request | undefined;
        for (const session of all) {
          session.setGoal(view);
          const frame = session.next(nowMs);
          if (frame === undefined) throw new Error('nothing was pushed');
          if (session.next(nowMs) !== undefined) throw new Error('too much was pushed');
          request ??= requestOf(mode, resourceTypes.endpoint, {
            names: mode === 'sotw' ? list : noNames,
            nonce: frame.nonce,
            version: frame.plan.version,
          });
          session.request(request, nowMs);
          if (session.next(nowMs) !== undefined) throw new Error('an ACK was answered');
        }
      }
    });
    const state = all[0]?.types().find(({ traits }) => traits.stage === 'assignments');
    const again = requestOf(mode, resourceTypes.endpoint, {
      names: mode === 'sotw' ? list : noNames,
      nonce: state?.nonceSent ?? '',
    });
    const silent = timed(() => {
      for (let change = 0; change < changes; change++) {
        for (const session of all) {
          session.request(again, nowMs);
          if (session.next(nowMs) !== undefined) throw new Error('an ACK was answered');
        }
      }
    });
    if (at === 0) continue;
    push.perSecond.push(pushed);
    stale.perSecond.push(silent);
  }
  return [push, stale];
}

/** Thousands of turns per second of CPU. */
function timed(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (sessions * changes * 1_000) / (user + system);
}

function settle(session: Session, request: Request): void {
  session.request(request, nowMs);
  for (let frame = session.next(nowMs); frame !== undefined; frame = session.next(nowMs)) {
    const names = request.mode === 'sotw' ? request.names : noNames;
    const { nonce, plan } = frame;
    session.request(
      requestOf(request.mode, plan.typeUrl, { names, nonce, version: plan.version }),
      nowMs,
    );
  }
}

function requestOf(
  mode: Mode,
  typeUrl: string,
  more: { readonly names: NameList; readonly nonce?: string; readonly version?: string },
): Request {
  const { names, nonce = '', version = '' } = more;
  const base = { typeUrl, nonce, error: undefined, node: undefined };
  return mode === 'sotw'
    ? { ...base, mode, versionInfo: version, names }
    : { ...base, mode, subscribe: names, unsubscribe: noNames, initial: undefined };
}
