import type { Command } from 'commander';
import { systemTime } from '@watershed/runtime/clock.ts';
import { type Finding, validate } from '@watershed/ingester/validate.ts';

interface Flags {
  readonly domain: string;
  readonly clusterID: string;
  readonly rootNamespace: string;
  readonly meshConfig?: string;
}

export function addValidate(program: Command, print: (text: string) => void): void {
  program
    .command('validate')
    .description('what the control plane would say of files, each problem on one line')
    .argument('[file...]', 'files, or directories of YAML or JSON; judged together')
    .option(
      '--meshConfig <file>',
      "a file of Istio's MeshConfig, judged with them and with the directories that it names",
    )
    .option('--domain <suffix>', "the DNS suffix of Services' names", 'cluster.local')
    .option('--clusterID <name>', 'the cluster that the files speak for', 'Kubernetes')
    .option('--rootNamespace <name>', 'where objects for the whole mesh are', 'istio-system')
    .action(async (paths: readonly string[], flags: Flags) => {
      if (paths.length === 0 && flags.meshConfig === undefined) {
        throw new Error('nothing to look at: name files or directories, or --meshConfig');
      }
      const { findings, files, objects } = await validate({
        paths,
        meshConfig: flags.meshConfig,
        settings: {
          cluster: flags.clusterID,
          domain: flags.domain,
          rootNamespace: flags.rootNamespace,
          ambient: true,
        },
        time: systemTime,
      });
      for (const finding of findings) print(lineOf(finding));
      const errors = findings.filter(({ severity }) => severity === 'error').length;
      const warnings = findings.length - errors;
      const looked = `${count(objects, 'object')} in ${count(files, 'file')}`;
      const sum = `${looked}: ${count(errors, 'error')}, ${count(warnings, 'warning')}`;
      if (errors > 0) throw new Error(sum);
      print(sum);
    });
}

/** `FILE:LINE kind namespace/name field: value: reason`, without the parts that are not known. */
function lineOf({ file, line, kind, namespace, name, ...problem }: Finding): string {
  const { severity, field, value, reason } = problem;
  const object = namespace === '' ? name : `${namespace}/${name}`;
  const subject = [kind, object, field].filter((part) => part !== '').join(' ');
  const place = line === 0 ? file : `${file}:${line}`;
  const warning = severity === 'warning' ? ['warning'] : [];
  return `${place} ${[subject, value, ...warning, reason].filter((part) => part !== '').join(': ')}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
