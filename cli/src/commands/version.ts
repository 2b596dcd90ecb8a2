import type { Command } from 'commander';
import { version } from '@watershed/runtime/version.ts';
import { fieldsOf, getJson, textOf } from '../monitoring.ts';
import { addMonitoringOptions, type MonitoringFlags, monitoringOf } from './flags.ts';

export function addVersion(program: Command, print: (text: string) => void): void {
  const command = program
    .command('version')
    .description("xdsctl's version, and with --remote the control plane's")
    .option('--remote', 'ask the control plane too');
  addMonitoringOptions(command, 'any of its processes').action(
    async (flags: MonitoringFlags & { remote?: true }) => {
      print(`client version: ${version}`);
      if (flags.remote !== true) return;
      const answer = fieldsOf(await getJson(monitoringOf(flags), '/version'));
      print(`control plane version: ${textOf(answer['version']) || 'unknown'}`);
    },
  );
}
