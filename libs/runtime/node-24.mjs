// What npm starts imports this first, on whatever Node there is: one that is too old cannot even
// read the rest, and would complain of the extension of its files.
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(
    `Watershed runs on Node 24, and this is ${process.version} (${process.execPath}).\n` +
      '`npm ci` brings Node 24, unless it is told to leave development dependencies out.\n',
  );
  process.exit(1);
}
