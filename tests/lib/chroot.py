"""Systems of their own in a folder, from the archive that this computer's apt is set up for. Needs root."""
import glob
import os
import shutil
import subprocess

import tap


def run(*words, code=0, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800, **options)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Root:
    """A folder that programs are started in."""

    def __init__(self, path):
        self.path = path

    def at(self, name):
        return os.path.join(self.path, name.lstrip("/"))

    def inside(self, *words, user=None, home="/root", **options):
        return run("chroot", *(["--userspec", user] if user else []), self.path, "/usr/bin/env", "-i",
                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"HOME={home}", "LC_ALL=C.UTF-8",
                   "DEBIAN_FRONTEND=noninteractive", *words, **options)

    def mount(self):
        """What every running system has: /proc, and the devices that no program does without."""
        os.makedirs(self.at("proc"), exist_ok=True)
        os.makedirs(self.at("dev"), exist_ok=True)
        os.makedirs(self.at("tmp"), exist_ok=True)
        run("mount", "-t", "proc", "proc", self.at("proc"))
        for name in ("null", "zero", "random", "urandom"):
            if not os.path.exists(self.at("dev/" + name)):
                run("cp", "-a", "/dev/" + name, self.at("dev"))

    def remove(self):
        if os.path.ismount(self.at("proc")):
            run("umount", self.at("proc"))
        shutil.rmtree(self.path, ignore_errors=True)

    def debootstrap(self, release):
        """A minimal Debian; skips where the archive does not have it."""
        sites = run("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
        assert sites, "apt has no archive"
        site = next(s for s in sites if "security" not in s)
        done = subprocess.run(["debootstrap", "--variant=minbase", release, self.path, site],
                              capture_output=True, text=True, timeout=1800)
        if "Failed getting release" in done.stdout + done.stderr:
            raise tap.Skip(f"the archive has no {release}")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        self.mount()

    def reach_the_archive(self):
        """As this computer does: proxies, certificates, a mirror whose dates are old."""
        with open(self.at("etc/apt/apt.conf.d/90host"), "w", encoding="utf-8") as f:
            f.write("\n".join(line for line in run("apt-config", "dump").splitlines()
                              if line.startswith("Acquire::")))
        shutil.copy("/etc/resolv.conf", self.at("etc/resolv.conf"))
        self.inside("apt-get", "update", "-qq")

    def unpack(self, folder, *packages):
        """These packages and nothing else, without installing them."""
        run("apt-get", "download", "-qq", *packages, cwd=folder)
        for part in ("bin", "lib", "lib64", "sbin"):
            os.makedirs(self.at("usr/" + part), exist_ok=True)
            os.symlink("usr/" + part, self.at(part))
        for package in glob.glob(os.path.join(folder, "*.deb")):
            content = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True,
                                     check=True).stdout
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", self.path], input=content,
                           check=True)
        self.mount()
