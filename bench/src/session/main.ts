/**
 * The session core alone, on one core and without sockets: turns (a decoded request in, what is to
 * be said out), the decoding of ACKs that repeat many names, and memory per stream.
 *
 *     npm run bench:session -- [--rounds 7] [--names 10000] [--streams 20000]
 */
import { parseArgs } from 'node:util';
import { round, spread } from '../statistics.ts';
import { decoding } from './decoding.ts';
import { memory } from './memory.ts';
import { turns, type TurnRow } from './turns.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    names: { type: 'string', default: '10000' },
    streams: { type: 'string', default: '20000' },
  },
});
const rounds = Number(values.rounds);
const names = Number(values.names);
const streams = Number(values.streams);

const rows: TurnRow[] = [];
for (const mode of ['sotw', 'delta'] as const) rows.push(...turns(mode, rounds));
console.log(`turns per second of CPU, thousands; ${rounds} rounds: median (least–most)`);
console.table(rows.map(({ turn, perSecond }) => ({ turn, 'k/s': spread(perSecond) })));

console.log(`decoding of a state-of-the-world ACK that repeats ${names} names, µs of CPU`);
console.table(decoding(names, rounds).map(({ ack, us }) => ({ ack, µs: spread(us) })));

const perStreamKib = round(memory(names, streams) / 1_024);
console.log(`${streams} streams with ${names} names each, of one scope, the transport apart:`);
console.log(`${perStreamKib} KiB of heap per stream (goal: 2)`);
