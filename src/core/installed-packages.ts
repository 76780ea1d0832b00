// Reads which packages a Debian root has, from dpkg's own record of them (deb822 paragraphs; dpkg-query(1) describes Status).

/** `name=version` of each installed package, by name. */
export const parseInstalledPackages = (status: string): string[] =>
  status
    .split(/\n{2,}/)
    .flatMap((paragraph) => {
      const field = (name: string) => new RegExp(`^${name}: (\\S+)\\s*$`, "m").exec(paragraph)?.[1];
      const [name, version] = [field("Package"), field("Version")];
      const isInstalled = /^Status: \S+ \S+ installed\s*$/m.test(paragraph);
      return isInstalled && name !== undefined && version !== undefined ? [`${name}=${version}`] : [];
    })
    .sort();
