import { Command } from 'commander';
import { addBootstrap } from './commands/bootstrap.ts';
import { addConfirm } from './commands/confirm.ts';
import { addCreateTopics } from './commands/create-topics.ts';
import { addFetch } from './commands/fetch.ts';
import { addProxyStatus } from './commands/proxy-status.ts';
import { addValidate } from './commands/validate.ts';
import { addVersion } from './commands/version.ts';
import { version } from '@watershed/runtime/version.ts';
import type { Surroundings } from './surroundings.ts';

/** `xdsctl`: what people ask of a control plane from a shell. */
export function program(around: Surroundings): Command {
  const { print } = around;
  const root = new Command('xdsctl')
    .description('Watershed from a shell')
    .version(version, '-V, --version', "print xdsctl's version and leave")
    // Not the help itself: the error would scroll away.
    .showHelpAfterError('`xdsctl --help` and `xdsctl COMMAND --help` say what can be asked')
    .showSuggestionAfterError();
  addBootstrap(root, print);
  addProxyStatus(root, around);
  addValidate(root, print);
  addConfirm(root, print);
  addCreateTopics(root, around);
  addFetch(root, around);
  addVersion(root, print);
  return root;
}
