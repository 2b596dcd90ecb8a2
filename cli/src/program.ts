import { Command } from 'commander';
import { addBootstrap } from './commands/bootstrap.ts';
import { addConfirm } from './commands/confirm.ts';
import { addProxyStatus } from './commands/proxy-status.ts';
import { addValidate } from './commands/validate.ts';
import { addVersion } from './commands/version.ts';

/** `xdsctl`: what people ask of a control plane from a shell. */
export function program(print: (text: string) => void): Command {
  const root = new Command('xdsctl')
    .description('Watershed from a shell')
    .showHelpAfterError()
    .showSuggestionAfterError();
  addBootstrap(root, print);
  addProxyStatus(root, print);
  addValidate(root, print);
  addConfirm(root, print);
  addVersion(root, print);
  return root;
}
