"""The repositories: comps groups and metadata."""

from xml.etree import ElementTree

from standin.report import run


def write_comps(catalogue, path):
    """Writes the groups and environments in the format of comps.xml."""
    comps = ElementTree.Element("comps")
    for name, group in catalogue.groups.items():
        node = _described(comps, "group", name, group)
        ElementTree.SubElement(node, "default").text = "false"
        ElementTree.SubElement(node, "uservisible").text = "false"
        packages = ElementTree.SubElement(node, "packagelist")
        for package in group["packages"]:
            ElementTree.SubElement(packages, "packagereq", type="mandatory").text = package
    for name, environment in catalogue.environments.items():
        node = _described(comps, "environment", name, environment)
        groups = ElementTree.SubElement(node, "grouplist")
        for group in environment["groups"]:
            ElementTree.SubElement(groups, "groupid").text = group
    ElementTree.indent(comps)
    ElementTree.ElementTree(comps).write(path, encoding="UTF-8", xml_declaration=True)


def _described(parent, kind, name, data):
    node = ElementTree.SubElement(parent, kind)
    for tag, text in (("id", name), ("name", data["name"]), ("description", data["description"])):
        ElementTree.SubElement(node, tag).text = text
    return node


def write_metadata(directory, comps=None):
    """Makes the repodata of one repository."""
    groups = ["--groupfile", comps] if comps else []
    run(["createrepo_c", "--quiet", *groups, directory], f"making the metadata of {directory}")
