import type { Outcome } from './run.ts';

export function outcomeLine(outcome: Outcome): string {
  const { name, problems, convergeMs, requests, restarts } = outcome;
  const mark = problems.length === 0 ? '✓' : '✗';
  const rates = `${rate(outcome.written, outcome)} changes/s, ${rate(outcome.events, outcome)} events/s`;
  const took = `converged in ${seconds(convergeMs)} s`;
  return `${mark} ${name}: ${took}; ${rates}, ${requests} requests, ${restarts} restarts`;
}

export function faultsPage(outcomes: readonly Outcome[], seed: number): string {
  const rows = outcomes.map((outcome) => [
    outcome.name,
    outcome.problems.length === 0 ? 'survived' : `**${outcome.problems.join('; ')}**`,
    seconds(outcome.convergeMs),
    rate(outcome.written, outcome),
    rate(outcome.events, outcome),
    String(outcome.requests),
  ]);
  const survived = outcomes.filter(({ problems }) => problems.length === 0).length;
  return `${head(seed)}
${survived} of ${outcomes.length} survived.

| fault | result | converged, s | changes/s | events/s | requests |
| --- | --- | --- | --- | --- | --- |
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}
`;
}

function head(seed: number): string {
  return `# Faults

Written by \`npm run faults -- --all --seed ${seed}\`, on a machine of two cores that others used at
the same time: Kafka with three brokers, Redis, an ingester, two translators, two pushers, two
Envoys (one per pusher, one per protocol) that carry requests all the while, and four simulated
sidecars of both protocols. All are real processes; one that ends is started again.

Users change workloads, services, routes and rules all the time. _Changes_ are objects that were
written and differ; _events_ are records that ingesters appended to the log, both per second from
1.5 s before the fault to its end (a log that is away takes none). A fault lasts 5 s, or 14 s where
sessions and time-outs of others have to end. A full disk is a limit on the size of the process's
files.

When the fault ends, the changes stop. _Converged_ is the time from then until every client and
every Envoy holds all of what was written, and nothing else. A fault is survived when they do
within 60 s, and the log, read from its beginning, has the same services and endpoints (none lost,
none resurrected); every client has the same bytes as a new client of a new pusher; no Envoy
rejected anything; and no request failed, from before the fault to after all this. A fault that cuts
the way to clients is seen to do so.

Where brokers and processes are started again (all brokers restored, for which an ingester ends, and
all away), most of the time is their start, all at once on two cores.

Where only the pushers are left, connected clients must have kept all that they had; new ones of
each pusher, and of one that was killed and started again then, must have been given everything
from its memory or disk; and \`/ready\`, \`xdsctl proxy-status\` and the metric
\`watershed_log_heard_timestamp_seconds\` must have said how old that is.
`;
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

function rate(count: number, outcome: Outcome): string {
  return (count / outcome.seconds).toFixed(0);
}
