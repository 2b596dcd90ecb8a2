import type { Command } from 'commander';
import { post } from '../monitoring.ts';
import { addMonitoringOptions, type MonitoringFlags, monitoringOf } from './flags.ts';

export function addConfirm(program: Command, print: (text: string) => void): void {
  const command = program
    .command('confirm')
    .description('let a held mass deletion through (/debug/heldz has what is held)');
  addMonitoringOptions(command, 'Watershed, or of the ingester').action(
    async (flags: MonitoringFlags) => {
      print((await post(monitoringOf(flags), '/debug/confirm')).trimEnd());
    },
  );
}
