/**
 * URIs among a certificate's subject alternative names, of Node's text of them. Node quotes a name
 * that could be taken for several (CVE-2021-44532): such a one is no URI of ours.
 */
export function uriNames(subjectAltName: string): readonly string[] {
  const names = subjectAltName.matchAll(/(?:^|, )([^:,"]+):(?:"(?:[^"\\]|\\.)*"|([^,"]*))/gu);
  return [...names].flatMap(([, kind, plain]) =>
    kind === 'URI' && plain !== undefined ? [plain] : [],
  );
}
